# Two allocators behind the load balancer, for `allocator.replicas: 2`: both serve, one of them leads. States and record are in RDS.

resource "aws_launch_template" "allocator" {
  count = local.single ? 0 : 1

  name                   = local.allocator
  image_id               = local.ami
  instance_type          = local.lab.allocator.instance_type
  user_data              = local.user_data
  update_default_version = true

  iam_instance_profile {
    name = aws_iam_instance_profile.allocator.name
  }

  network_interfaces {
    associate_public_ip_address = "true"
    security_groups             = [aws_security_group.allocator.id]
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }

  block_device_mappings {
    device_name = "/dev/sda1"

    ebs {
      volume_size           = 30
      volume_type           = "gp3"
      encrypted             = "true"
      delete_on_termination = "true"
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = local.allocator, "lablink:deployment" = local.prefix, "lablink:environment" = local.suffix }
  }

  lifecycle {
    precondition {
      condition     = local.single || (local.rds && local.acm && local.lab.state.backend == "database")
      error_message = "allocator.replicas: 2 needs database.mode rds, ssl.provider acm and state.backend database."
    }

    precondition {
      condition     = length(local.user_data) * 3 / 4 <= 16384
      error_message = "lablink.yaml is too long for EC2's 16 KiB of user data: leave pools out of the file that the allocators start with, and add them with `lablink apply`."
    }
  }
}

resource "aws_autoscaling_group" "allocator" {
  count = local.single ? 0 : 1

  name                      = local.allocator
  min_size                  = local.replicas
  max_size                  = local.replicas + 1 # a new one comes before an old one goes
  desired_capacity          = local.replicas
  vpc_zone_identifier       = data.aws_subnets.default.ids
  target_group_arns         = [aws_lb_target_group.allocator[0].arn]
  health_check_type         = "ELB"
  health_check_grace_period = 600
  wait_for_capacity_timeout = "0"

  launch_template {
    id      = aws_launch_template.allocator[0].id
    version = aws_launch_template.allocator[0].latest_version
  }

  instance_refresh {
    strategy = "Rolling"

    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 150
    }
  }

  depends_on = [aws_iam_role_policy.allocator, aws_ssm_parameter.host]
}
