"""Files with every simulated type in them, for the tests of the provider stand-in."""

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBJ9JpJ7m3Y1z7h9l5r2Qk3nWw8mJ0s7vQv3y8n4pZ1d lab@host"
DATA = """
data "aws_vpc" "default" { default = true }
data "aws_caller_identity" "me" {}
data "aws_region" "here" {}
data "aws_partition" "here" {}
data "aws_availability_zones" "open" { state = "available" }
data "aws_ssm_parameter" "image" { name = "/lab/image" }
data "aws_subnets" "default" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}
data "aws_ami" "ubuntu" {
  owners      = ["amazon"]
  most_recent = true
  filter {
    name   = "name"
    values = ["*ubuntu*"]
  }
}
data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.${data.aws_partition.here.dns_suffix}"]
    }
  }
}
"""
RESOURCES = """
variable "days" { default = 7 }
variable "size" { default = "t3.micro" }
variable "port" { default = 22 }
variable "team" { default = "blue" }
variable "policy_arn" {}

resource "aws_cloudwatch_log_group" "lab" {
  name              = "/lab/log"
  retention_in_days = var.days
}
resource "aws_iam_role" "lab" {
  name               = "lab"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = { team = var.team }
}
resource "aws_iam_role_policy" "log" {
  name = "log"
  role = aws_iam_role.lab.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["logs:PutLogEvents"]
      Resource = "${aws_cloudwatch_log_group.lab.arn}:${var.port}"
    }]
  })
}
resource "aws_iam_role_policy_attachment" "agent" {
  role       = aws_iam_role.lab.name
  policy_arn = var.policy_arn
}
resource "aws_iam_instance_profile" "lab" {
  name = "lab"
  role = aws_iam_role.lab.name
  tags = { team = var.team }
}
resource "aws_key_pair" "lab" {
  key_name   = "lab"
  public_key = "PUBLIC_KEY"
  tags       = { team = var.team }
}
resource "aws_security_group" "lab" {
  name   = "lab"
  vpc_id = data.aws_vpc.default.id
  tags   = { team = var.team }
}
resource "aws_security_group" "inline" {
  name   = "inline"
  vpc_id = data.aws_vpc.default.id
  ingress {
    from_port   = var.port
    to_port     = var.port
    protocol    = "tcp"
    cidr_blocks = ["10.0.0.0/8"]
    self        = true
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}
resource "aws_vpc_security_group_ingress_rule" "ssh" {
  security_group_id = aws_security_group.lab.id
  ip_protocol       = "tcp"
  from_port         = var.port
  to_port           = var.port
  cidr_ipv4         = "10.0.0.0/8"
}
resource "aws_vpc_security_group_egress_rule" "all" {
  security_group_id = aws_security_group.lab.id
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}
resource "aws_instance" "vm" {
  for_each                    = { a = 50, b = 60 }
  ami                         = data.aws_ami.ubuntu.id
  instance_type               = var.size
  availability_zone           = data.aws_availability_zones.open.names[0]
  key_name                    = aws_key_pair.lab.key_name
  iam_instance_profile        = aws_iam_instance_profile.lab.name
  vpc_security_group_ids      = [aws_security_group.lab.id]
  associate_public_ip_address = true
  user_data                   = "#!/bin/sh\\necho ${each.key}"
  tags                        = { Name = each.key, team = var.team }
  root_block_device {
    volume_size = each.value
    volume_type = "gp3"
    encrypted   = true
  }
  metadata_options { http_tokens = "required" }
  timeouts {
    create = "5m"
    delete = "5m"
  }
}
""".replace("PUBLIC_KEY", KEY)
SPOT = """
resource "aws_instance" "spot" {
  ami              = data.aws_ami.ubuntu.id
  instance_type    = "t3.micro"
  user_data_base64 = base64encode("hello")
  instance_market_options {
    market_type = "spot"
    spot_options {
      spot_instance_type             = "one-time"
      instance_interruption_behavior = "terminate"
    }
  }
  ebs_block_device {
    device_name = "/dev/sdf"
    volume_size = 10
  }
}
resource "aws_instance" "cheap" {
  ami           = data.aws_ami.ubuntu.id
  instance_type = "t3.micro"
  instance_market_options { market_type = "spot" }
}
resource "aws_instance" "plain" {
  ami           = data.aws_ami.ubuntu.id
  instance_type = "t3.micro"
}
"""
IMPORTS = """
import {
  to = aws_cloudwatch_log_group.lab
  id = "/lab/log"
}
import {
  to = aws_iam_role.lab
  id = "lab"
}
import {
  to = aws_iam_role_policy.log
  id = "lab:log"
}
import {
  to = aws_iam_role_policy_attachment.agent
  id = "lab/${var.policy_arn}"
}
import {
  to = aws_iam_instance_profile.lab
  id = "lab"
}
import {
  to = aws_key_pair.lab
  id = "lab"
}
"""
