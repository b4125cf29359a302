# The machine that runs LabLink, and the disk that outlives it.

data "aws_ami" "ubuntu" {
  count = var.ami == "" ? 1 : 0

  owners      = ["099720109477"] # Canonical: https://documentation.ubuntu.com/aws/aws-how-to/instances/find-ubuntu-images/
  most_recent = true

  filter {
    name   = "name"
    values = ["ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"]
  }
}

locals {
  ami  = var.ami == "" ? data.aws_ami.ubuntu[0].id : var.ami
  zone = try(sort(data.aws_ec2_instance_type_offerings.allocator.locations)[0], "")

  host_files = {
    "compose.yaml"          = "compose.yaml"
    "Caddyfile.letsencrypt" = "caddy/letsencrypt.Caddyfile"
    "Caddyfile.cloudflare"  = "caddy/cloudflare.Caddyfile"
    "cloudwatch.json"       = "host/cloudwatch.json"
    "lablink-aws"           = "host/lablink-aws"
    "lablink-host"          = "host/lablink-host"
    "lablink-host.service"  = "systemd/lablink-host.service"
    "lablink-host.timer"    = "systemd/lablink-host.timer"
    "lablink.logrotate"     = "host/lablink.logrotate"
    "lablink.service"       = "systemd/lablink.service"
  }

  # What the machine is told at its first boot and never again. What may change later is in the parameter `host`.
  user_data = base64gzip(templatefile("${path.module}/user_data.sh.tftpl", {
    region    = local.lab.region
    parameter = local.host_name
    volume    = local.embedded ? aws_ebs_volume.data[0].id : ""
    document  = filebase64(var.lab_file)
    files     = { for name, path in local.host_files : name => filebase64("${var.deploy_dir}/${path}") }
  }))
}

resource "aws_instance" "allocator" {
  count = local.single ? 1 : 0

  ami                         = local.ami
  instance_type               = local.lab.allocator.instance_type
  availability_zone           = local.embedded ? aws_ebs_volume.data[0].availability_zone : local.zone
  associate_public_ip_address = true
  iam_instance_profile        = aws_iam_instance_profile.allocator.name
  vpc_security_group_ids      = [aws_security_group.allocator.id]
  user_data_base64            = local.user_data
  tags                        = { Name = local.allocator }
  volume_tags                 = { Name = "${local.allocator}-root", "lablink:deployment" = local.prefix, "lablink:environment" = local.suffix }

  # Two hops: the container asks through Docker's bridge.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }

  root_block_device {
    volume_size = 30
    volume_type = "gp3"
    encrypted   = true
  }

  lifecycle {
    # A newer AMI or first boot is for the next machine (`lablink infra apply --replace`): this one must not end for it.
    ignore_changes = [ami, user_data_base64]

    precondition {
      condition     = length(local.user_data) * 3 / 4 <= 16384
      error_message = "lablink.yaml is too long for EC2's 16 KiB of user data: leave pools out of the file that the allocator starts with, and add them with `lablink apply`."
    }
  }

  # Without its permissions the first boot would find neither its parameter nor its image.
  depends_on = [aws_iam_role_policy.allocator, aws_ssm_parameter.host]
}

# PostgreSQL's data, apart from the root disk: it survives the instance.
resource "aws_ebs_volume" "data" {
  count = local.embedded ? 1 : 0

  availability_zone = local.zone
  size              = local.lab.allocator.volume.size
  type              = local.lab.allocator.volume.type
  encrypted         = true
  final_snapshot    = var.protect
  tags              = { Name = "${local.allocator}-data", "lablink:snapshots" = local.allocator }

  lifecycle {
    # Another zone would be another, empty volume.
    ignore_changes = [availability_zone]
  }
}

resource "aws_volume_attachment" "data" {
  count = local.embedded ? 1 : 0

  device_name = "/dev/sdf" # found again by its serial number: NVMe instances name devices as they like
  volume_id   = aws_ebs_volume.data[0].id
  instance_id = aws_instance.allocator[0].id

  # The file system is not pulled away under a running PostgreSQL.
  stop_instance_before_detaching = true
}

# What the machine looks at every minute, so that a change of TLS, name or image needs no new machine. Nothing in it is secret.
resource "aws_ssm_parameter" "host" {
  name        = local.host_name
  description = "What the LabLink allocator's host runs"
  type        = "String"
  value = jsonencode({
    IMAGE               = local.image
    TLS                 = local.lab.ssl.provider
    DOMAIN              = local.lab.dns.domain
    EMAIL               = local.lab.ssl.email
    ACME_CA             = local.lab.ssl.staging ? "https://acme-staging-v02.api.letsencrypt.org/directory" : "https://acme-v02.api.letsencrypt.org/directory"
    OPEN_PORT_5000      = tostring(local.lab.allocator.open_port_5000)
    LOG_GROUP           = aws_cloudwatch_log_group.allocator.name
    CLIENT_BOUNDARY     = aws_iam_policy.client_boundary.arn
    KEY_PATH            = local.key_path
    LAMBDA              = local.lambda
    DEAD_LETTERS        = aws_sqs_queue.dead_letters.url
    DATABASE            = local.lab.database.mode
    DATABASE_HOST       = local.rds ? aws_db_instance.lablink[0].address : ""
    DATABASE_SECRET     = local.rds ? aws_db_instance.lablink[0].master_user_secret[0].secret_arn : ""
    ADMIN_USER          = local.admin.user
    ADMIN_PASSWORD_HASH = local.admin.hash
    REPLICAS            = tostring(local.replicas)
    PROXIES             = local.acm ? data.aws_vpc.default.cidr_block : ""
    # "" without a name: the machine asks EC2 for its own address.
    ALLOCATOR_URL = local.has_name ? local.named_url : ""
  })
}
