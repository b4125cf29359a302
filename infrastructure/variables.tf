variable "lab_file" {
  description = "Path of lablink.yaml: what should exist. There is no second configuration."
  type        = string

  validation {
    condition     = can(yamldecode(file(var.lab_file)).pools)
    error_message = "lab_file must be the path of a lablink.yaml with pools; `lablink validate` says what is wrong with one."
  }
}

variable "lambda_zip" {
  description = "Path of the log Lambda's package; `lablink infra` and `make lambda` write it."
  type        = string

  validation {
    condition     = can(filebase64sha256(var.lambda_zip))
    error_message = "lambda_zip must be the path of a zip file that exists; `make lambda` writes one."
  }
}

variable "deploy_dir" {
  description = "The folder deploy/, whose files the allocator's first boot lays out."
  type        = string
  default     = "../deploy"

  validation {
    condition     = can(file("${var.deploy_dir}/compose.yaml"))
    error_message = "deploy_dir must be the folder deploy/ of LabLink, with compose.yaml in it."
  }
}

variable "release_image" {
  description = "The container image of this release, used where lablink.yaml names none in allocator.image."
  type        = string
  default     = "ghcr.io/talmolab/lablink:1.0.0"

  validation {
    condition     = can(regex("^[a-z0-9][A-Za-z0-9._/:@-]{2,254}$", var.release_image))
    error_message = "release_image must be a container image, such as ghcr.io/talmolab/lablink:1.0.0."
  }
}

variable "ami" {
  description = "AMI of the allocator; \"\": the newest Ubuntu 24.04 LTS of Canonical. A running allocator keeps its own."
  type        = string
  default     = ""

  validation {
    condition     = var.ami == "" || can(regex("^ami-[0-9a-f]{8,17}$", var.ami))
    error_message = "ami must be empty or the id of an AMI, such as ami-0123456789abcdef0."
  }
}

variable "alarm_topic" {
  description = "ARN of the SNS topic that is told of alarms; \"\": alarms are shown, nobody is told."
  type        = string
  default     = ""

  validation {
    condition     = var.alarm_topic == "" || can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$", var.alarm_topic))
    error_message = "alarm_topic must be empty or the ARN of an SNS topic."
  }
}

variable "protect" {
  description = "Whether AWS refuses to delete what cannot be made again (the RDS database, the load balancer's name). `lablink infra destroy --unprotect` takes it away first."
  type        = bool
  default     = true
}
