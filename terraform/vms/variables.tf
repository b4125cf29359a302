variable "deployment" {
  description = "First part of every name."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", var.deployment))
    error_message = "deployment must be 1 to 63 of a-z, 0-9 and -, begin with a letter, not end with -."
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

variable "base" {
  description = "Outputs of the pool's base state."
  type = object({
    security_group_id = string
    instance_profile  = string
    key_name          = string
  })

  validation {
    condition     = startswith(var.base.security_group_id, "sg-")
    error_message = "base.security_group_id must be the id of a security group: the output of the pool's base state."
  }

  validation {
    condition     = var.base.instance_profile != "" && var.base.key_name != ""
    error_message = "base.instance_profile and base.key_name must be set: they are outputs of the pool's base state."
  }
}

variable "vms" {
  description = "The VMs of this shard by host name. A VM's entry is frozen when it is decided; a change is a new host name."
  type = map(object({
    ami              = string
    instance_type    = string
    zone             = string # "": any
    market           = string # on-demand | spot
    volume_size      = number # GiB
    volume_type      = string # gp3 | gp2
    generation       = number
    image            = string # of the client's container
    repository       = string # cloned by the image; "": none
    software         = string # the process whose running means "in use"; "": none
    extension        = string # of the files that an admin can collect
    startup_script   = string # base64 of UTF-8 text; "": none
    startup_on_error = string # continue | fail
    gpu              = bool
    allocator_url    = string
    allocator_host   = string
    log_group        = string
    log_region       = string # where the log group is: the allocator's region
    abandoned_s      = number # an unused VM shuts down when the allocator was silent for that long; 0: never
  }))

  validation {
    condition     = alltrue([for name in keys(var.vms) : can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", name))])
    error_message = "A key of vms must be a host name: 1 to 63 of a-z, 0-9 and -, beginning with a letter, not ending with -."
  }

  validation {
    condition     = alltrue([for vm in var.vms : can(regex("^ami-[0-9a-f]{8,17}$", vm.ami))])
    error_message = "ami must be an AMI's id; an alias is resolved before it comes here."
  }

  validation {
    condition     = alltrue([for vm in var.vms : can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", vm.instance_type))])
    error_message = "instance_type must look like g4dn.xlarge."
  }

  validation {
    condition     = alltrue([for vm in var.vms : can(regex("^$|^[a-z0-9-]+[a-z]$", vm.zone))])
    error_message = "zone must be empty or look like us-west-2a."
  }

  validation {
    condition     = alltrue([for vm in var.vms : contains(["on-demand", "spot"], vm.market)])
    error_message = "market must be on-demand or spot."
  }

  validation {
    condition = alltrue([
      for vm in var.vms : contains(["gp2", "gp3"], vm.volume_type) && vm.volume_size >= 8 && vm.volume_size <= 16384
    ])
    error_message = "volume_type must be gp3 or gp2, volume_size 8 to 16384 GiB."
  }

  validation {
    condition     = alltrue([for vm in var.vms : vm.generation >= 0 && floor(vm.generation) == vm.generation])
    error_message = "generation must be a whole number, 0 or more."
  }

  # It is an argument of `docker run`: a leading dash would be an option.
  validation {
    condition     = alltrue([for vm in var.vms : can(regex("^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,511}$", vm.image))])
    error_message = "image must be a container image's reference, such as ghcr.io/owner/name:tag."
  }

  # They are lines of client.env: a line break would begin another variable.
  validation {
    condition = alltrue(flatten([
      for vm in var.vms : [for text in [vm.repository, vm.software, vm.extension] : can(regex("^([^-[:cntrl:]][^[:cntrl:]]{0,999})?$", text))]
    ]))
    error_message = "repository, software and extension must be one line of at most 1000 characters and not begin with a dash."
  }

  validation {
    condition     = alltrue([for vm in var.vms : can(base64decode(vm.startup_script))])
    error_message = "startup_script must be the base64 of UTF-8 text."
  }

  validation {
    condition     = alltrue([for vm in var.vms : contains(["continue", "fail"], vm.startup_on_error)])
    error_message = "startup_on_error must be continue or fail."
  }

  validation {
    condition     = alltrue([for vm in var.vms : can(regex("^https?://[^[:cntrl:][:space:]\"\\\\]+$", vm.allocator_url))])
    error_message = "allocator_url must begin with http:// or https:// and hold no spaces or quotes."
  }

  validation {
    condition     = alltrue([for vm in var.vms : can(regex("^[A-Za-z0-9\\[][A-Za-z0-9.:\\[\\]-]*$", vm.allocator_host))])
    error_message = "allocator_host must be a host name or address."
  }

  validation {
    condition     = alltrue([for vm in var.vms : can(regex("^[A-Za-z0-9_./#-]{1,512}$", vm.log_group))])
    error_message = "log_group must be the name of a CloudWatch log group."
  }

  validation {
    condition     = alltrue([for vm in var.vms : can(regex("^[a-z]{2,4}(-[a-z]+)+-[0-9]+$", vm.log_region))])
    error_message = "log_region must look like us-west-2."
  }
}

variable "tokens" {
  description = "API token of each VM by host name; every host name of vms needs one."
  type        = map(string)
  sensitive   = true

  validation {
    condition     = alltrue([for token in var.tokens : can(regex("^[A-Za-z0-9._~+/=-]{16,512}$", token))])
    error_message = "A token must be 16 to 512 letters, digits and ._~+/=- (what an HTTP Bearer header takes)."
  }
}

variable "adopt" {
  description = "Instances that exist already and are to be imported: host name → instance id. Host names must be in vms."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for id in var.adopt : can(regex("^i-[0-9a-f]{8,17}$", id))])
    error_message = "adopt must map host names to instance ids."
  }
}
