# One shard of a pool: instances and nothing else, so that its plans stay quick and its lock blocks few.

locals {
  # What every VM's user data have in common: read once, not once a VM.
  setup = file("${path.module}/setup.sh")
  # Without its docstrings: EC2 takes 16 KiB of user data, and half of them are for the start-up script.
  reporter = replace(file("${path.module}/reporter.py"), "/(?s) *\"\"\".*?\"\"\"\n/", "")

  # What the container, the reporter and the first boot are told, as lines of client.env.
  environments = {
    for name, vm in var.vms : name => {
      ALLOCATOR_URL          = trimsuffix(vm.allocator_url, "/")
      ALLOCATOR_HOST         = vm.allocator_host
      VM_NAME                = name
      API_TOKEN              = var.tokens[name]
      SUBJECT_SOFTWARE       = vm.software
      TUTORIAL_REPO_TO_CLONE = vm.repository
      CLOUD_INIT_LOG_GROUP   = vm.log_group
      AWS_REGION             = vm.log_region
      STARTUP_ON_ERROR       = vm.startup_on_error
      LABLINK_IMAGE          = vm.image
      LABLINK_GPU            = tostring(vm.gpu)
      LABLINK_SPOT           = tostring(vm.market == "spot")
      LABLINK_ABANDONED_S    = tostring(vm.abandoned_s)
    }
  }

  user_data = {
    for name, vm in var.vms : name => base64gzip(templatefile("${path.module}/user_data.sh.tftpl", {
      environment    = local.environments[name]
      startup_script = base64gzip(base64decode(vm.startup_script))
      setup          = local.setup
      reporter       = local.reporter
    }))
  }

  tags = {
    for name, vm in var.vms : name => {
      Name                    = name
      "lablink:deployment"    = var.deployment
      "lablink:deployment-id" = var.deployment_id
      "lablink:environment"   = var.environment
      "lablink:pool"          = var.pool
      "lablink:hostname"      = name
      "lablink:generation"    = tostring(vm.generation)
    }
  }
}

resource "aws_instance" "vm" {
  for_each = var.vms

  ami                         = each.value.ami
  instance_type               = each.value.instance_type
  availability_zone           = each.value.zone == "" ? null : each.value.zone
  key_name                    = var.base.key_name
  iam_instance_profile        = var.base.instance_profile
  vpc_security_group_ids      = [var.base.security_group_id]
  associate_public_ip_address = true
  user_data_base64            = local.user_data[each.key]

  # A user's "shut down" must not lose the desktop. One-time spot requests know no stop.
  instance_initiated_shutdown_behavior = each.value.market == "spot" ? null : "stop"

  # Part of the launch, as the volume's: an instance is never there without its name.
  tags        = local.tags[each.key]
  volume_tags = local.tags[each.key]

  # One hop is enough: the client's container shares the host's network.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    volume_size           = each.value.volume_size
    volume_type           = each.value.volume_type
    encrypted             = true
    delete_on_termination = true
  }

  dynamic "instance_market_options" {
    for_each = each.value.market == "spot" ? ["spot"] : []

    content {
      market_type = "spot"

      spot_options {
        spot_instance_type             = "one-time"
        instance_interruption_behavior = "terminate"
      }
    }
  }

  timeouts {
    create = "5m"
    delete = "10m"
  }

  lifecycle {
    # A VM, once made, is changed by nobody: every change is a new VM under a new name.
    ignore_changes = all

    precondition {
      condition     = nonsensitive(length(local.user_data[each.key])) * 3 / 4 <= 16384
      error_message = "The user data of ${each.key} exceed EC2's 16 KiB, compressed. Shorten its start-up script, or let it fetch the rest."
    }
  }
}

# Instances that a killed run made and the state does not know.
import {
  for_each = var.adopt
  to       = aws_instance.vm[each.key]
  id       = each.value
}
