variable "deployment" {
  description = "First part of every name. A group name must not begin with \"sg-\", so \"sg\" is refused."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.deployment)) && !can(regex("^sg(-|$)", var.deployment))
    error_message = "deployment must be 1 to 63 of a-z, 0-9 and -, begin with a letter, not end with -, nor be or begin with \"sg-\"."
  }
}

variable "deployment_id" {
  description = "UUID of the deployment: two deployments of one name never take each other's resources."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.deployment_id))
    error_message = "deployment_id must be a UUID in lower case."
  }
}

variable "environment" {
  description = "dev, test, ci-test, prod or another."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.environment))
    error_message = "environment must be 1 to 20 of a-z, 0-9 and -, and begin with a letter."
  }
}

variable "region" {
  description = "AWS region of the pool."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2,4}(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "region must look like us-west-2."
  }
}

variable "pool" {
  description = "Name of the pool in lablink.yaml."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.pool))
    error_message = "pool must be 1 to 63 of a-z, 0-9 and -, begin with a letter, not end with -."
  }
}

variable "ssh_ingress" {
  description = "CIDRs (IPv4 or IPv6) that may reach port 22; empty: the allocator alone."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.ssh_ingress : can(cidrhost(cidr, 0))])
    error_message = "ssh_ingress must hold CIDRs such as 192.0.2.0/24."
  }
}

variable "allocator_cidr" {
  description = "The allocator's address as a CIDR, for the collection of files over SSH; \"\": none."
  type        = string
  default     = ""

  validation {
    condition     = var.allocator_cidr == "" || can(cidrhost(var.allocator_cidr, 0))
    error_message = "allocator_cidr must be empty or a CIDR such as 192.0.2.7/32."
  }
}

variable "public_key" {
  description = "Public half of the pool's SSH key, in OpenSSH's form. The private half is the controller's."
  type        = string

  validation {
    condition     = can(regex("^(ssh-ed25519|ssh-rsa) [A-Za-z0-9+/]+=*( [^[:cntrl:]]*)?$", var.public_key))
    error_message = "public_key must be one line that begins with ssh-ed25519 or ssh-rsa (the kinds that EC2 takes)."
  }
}

variable "log_group_arn" {
  description = "ARN of the client log group; the only one that VMs of this pool may write to."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:logs:[a-z0-9-]+:[0-9]{12}:log-group:[A-Za-z0-9_./#-]+(:\\*)?$", var.log_group_arn))
    error_message = "log_group_arn must be the ARN of one log group, with or without \":*\" at its end."
  }
}

variable "permissions_boundary" {
  description = "ARN of the policy that the VMs' role may not exceed; \"\": none (the allocator's own role decides whether it may go without)."
  type        = string
  default     = ""

  validation {
    condition     = var.permissions_boundary == "" || can(regex("^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9+=,.@_/-]+$", var.permissions_boundary))
    error_message = "permissions_boundary must be empty or the ARN of an IAM policy."
  }
}

variable "adopt" {
  description = <<-EOT
    What exists already (a killed first run) and is to be imported, by these keys:
    security_group = id · role, instance_profile, key_pair = name · role_policy = "ROLE:POLICY" ·
    "ingress:CIDR", "egress:CIDR" = id of the rule.
  EOT
  type        = map(string)
  default     = {}

  validation {
    condition = alltrue([
      for key, id in var.adopt :
      can(regex("^(security_group|role|role_policy|instance_profile|key_pair|(ingress|egress):.+)$", key)) && id != ""
    ])
    error_message = "adopt knows security_group, role, role_policy, instance_profile, key_pair, ingress:CIDR and egress:CIDR."
  }
}
