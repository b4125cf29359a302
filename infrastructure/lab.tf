# lablink.yaml as this tier reads it. Defaults are those of the program's models; a test compares each of them.

locals {
  file = yamldecode(file(var.lab_file))

  lab = {
    deployment  = try(local.file.deployment, "lablink")
    environment = try(local.file.environment, "dev")
    region      = try(local.file.region, "us-west-2")

    database = {
      mode           = try(local.file.database.mode, "embedded")
      instance_class = try(local.file.database.instance_class, "")
      multi_az       = try(local.file.database.multi_az, false)
    }
    state = {
      backend = try(local.file.state.backend, "database")
      bucket  = try(local.file.state.bucket, "")
      lock    = try(local.file.state.lock, "s3")
    }
    dns = {
      enabled           = try(local.file.dns.enabled, false)
      terraform_managed = try(local.file.dns.terraform_managed, true)
      domain            = try(local.file.dns.domain, "")
      zone_id           = try(local.file.dns.zone_id, "")
      create_zone       = try(local.file.dns.create_zone, false)
    }
    ssl = {
      provider        = try(local.file.ssl.provider, "none")
      email           = try(local.file.ssl.email, "")
      certificate_arn = try(local.file.ssl.certificate_arn, "")
      staging         = try(local.file.ssl.staging, false)
    }
    eip = {
      strategy      = try(local.file.eip.strategy, "dynamic")
      allocation_id = try(local.file.eip.allocation_id, "")
    }
    allocator = {
      instance_type  = try(local.file.allocator.instance_type, "t3.large")
      volume         = { size = try(local.file.allocator.volume.size, 100), type = try(local.file.allocator.volume.type, "gp3") }
      image          = try(local.file.allocator.image, "")
      ssh            = { ingress = try(local.file.allocator.ssh.ingress, []) }
      open_port_5000 = try(local.file.allocator.open_port_5000, false)
      cloudwatch     = try(local.file.allocator.cloudwatch, "alarms")
      replicas       = try(local.file.allocator.replicas, 1)
    }
    logs   = { cloudwatch_days = try(local.file.logs.cloudwatch_days, 7) }
    backup = { bucket = try(local.file.backup.bucket, "") }
  }

  # Who may log in before the first document is in force; a bcrypt hash, never a password.
  admin = { user = try(local.file.admin.user, "admin"), hash = try(local.file.admin.password_hash, "") }

  topics = distinct(compact([for one in try(local.file.notify, []) : try(one.sns, "")]))
}

# Names, and which of the rows of AWS this document asks for.
locals {
  prefix    = local.lab.deployment
  suffix    = local.lab.environment
  allocator = "${local.prefix}-allocator-${local.suffix}"

  embedded  = local.lab.database.mode == "embedded"
  rds       = local.lab.database.mode == "rds"
  acm       = local.lab.ssl.provider == "acm"
  caddy     = contains(["letsencrypt", "cloudflare"], local.lab.ssl.provider)
  replicas  = local.lab.allocator.replicas
  single    = local.replicas == 1
  eip       = local.lab.eip.strategy == "persistent" && local.single
  new_eip   = local.eip && local.lab.eip.allocation_id == ""
  records   = local.lab.dns.enabled && local.lab.dns.terraform_managed
  new_zone  = local.records && local.lab.dns.create_zone
  has_name  = local.lab.dns.enabled || local.lab.ssl.provider != "none"
  s3_state  = local.lab.state.backend == "s3"
  dynamodb  = local.s3_state && local.lab.state.lock == "dynamodb"
  backups   = local.lab.backup.bucket != ""
  image     = local.lab.allocator.image == "" ? var.release_image : local.lab.allocator.image
  log_group = "${local.prefix}-cloud-init-${local.suffix}"
  lambda    = "${local.prefix}_log_processor_${local.suffix}"
  lock_name = "${local.prefix}-lock-${local.suffix}"

  # Made at the first boot by `lablink keys`, the last one by `lablink rekey`; named here, so that no state of Terraform ever holds them.
  key_names = toset(["deployment_secret", "encryption_key", "encryption_key_previous"])
  key_path  = "/lablink/${local.prefix}/${local.suffix}"
  host_name = "${local.key_path}/host"
}

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

data "aws_vpc" "default" {
  default = true
}

data "aws_subnets" "default" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }

  filter {
    name   = "default-for-az"
    values = ["true"]
  }
}

# Not every zone has every instance type, and the data volume binds the allocator to its zone.
data "aws_ec2_instance_type_offerings" "allocator" {
  location_type = "availability-zone"

  filter {
    name   = "instance-type"
    values = [local.lab.allocator.instance_type]
  }
}
