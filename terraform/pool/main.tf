# What all VMs of one pool in one region share. Its state is apart from the VMs', so that a new VM never waits for it.

locals {
  name = "${var.deployment}-${var.pool}-${var.environment}"

  # IAM is global: without the region, a pool in two regions would fight over one role. IAM takes 64 characters.
  iam_long = "${local.name}-${var.region}"
  iam_name = length(local.iam_long) <= 64 ? local.iam_long : "${substr(local.iam_long, 0, 55)}-${substr(sha256(local.iam_long), 0, 8)}"

  ssh_cidrs = toset(compact(concat(var.ssh_ingress, [var.allocator_cidr])))
  any_cidrs = toset(["0.0.0.0/0", "::/0"])

  tags = {
    Name                    = local.name
    "lablink:deployment"    = var.deployment
    "lablink:deployment-id" = var.deployment_id
    "lablink:environment"   = var.environment
    "lablink:pool"          = var.pool
  }
}

data "aws_vpc" "default" {
  default = true
}

# Name and description never change: AWS would want a new group, and instances hold the old one.
resource "aws_security_group" "vm" {
  name        = local.name
  description = "LabLink client VMs"
  vpc_id      = data.aws_vpc.default.id
  tags        = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "ssh" {
  for_each = local.ssh_cidrs

  security_group_id = aws_security_group.vm.id
  description       = "SSH"
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
  cidr_ipv4         = strcontains(each.key, ":") ? null : each.key
  cidr_ipv6         = strcontains(each.key, ":") ? each.key : null
  tags              = local.tags
}

# Packages, images, and Chrome Remote Desktop's peers, which may be anywhere.
resource "aws_vpc_security_group_egress_rule" "any" {
  for_each = local.any_cidrs

  security_group_id = aws_security_group.vm.id
  description       = "Anywhere"
  ip_protocol       = "-1"
  cidr_ipv4         = strcontains(each.key, ":") ? null : each.key
  cidr_ipv6         = strcontains(each.key, ":") ? each.key : null
  tags              = local.tags
}

resource "aws_iam_role" "vm" {
  name                 = local.iam_name
  description          = "LabLink client VMs: write their log and their gauges"
  permissions_boundary = var.permissions_boundary == "" ? null : var.permissions_boundary
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
  tags = local.tags
}

resource "aws_iam_role_policy" "vm" {
  name = "telemetry"
  role = aws_iam_role.vm.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "OwnLogGroup"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        Resource = "${trimsuffix(var.log_group_arn, ":*")}:*"
      },
      {
        # PutMetricData knows no resources; the namespace is what AWS lets us hold it to.
        Sid       = "OwnNamespace"
        Effect    = "Allow"
        Action    = "cloudwatch:PutMetricData"
        Resource  = "*"
        Condition = { StringEquals = { "cloudwatch:namespace" = "LabLink" } }
      },
    ]
  })
}

resource "aws_iam_instance_profile" "vm" {
  name = local.iam_name
  role = aws_iam_role.vm.name
  tags = local.tags
}

resource "aws_key_pair" "vm" {
  key_name   = local.name
  public_key = var.public_key
  tags       = local.tags

  # AWS does not give the key back, so an imported pair would be replaced. The controller makes one key a pool, once.
  lifecycle {
    ignore_changes = [public_key]
  }
}
