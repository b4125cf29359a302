variable "lab_file" {
  description = "Path of lablink.yaml."
  type        = string

  validation {
    condition     = can(yamldecode(file(var.lab_file)).pools)
    error_message = "lab_file must be the path of a lablink.yaml with pools; `lablink validate` says what is wrong with one."
  }
}

variable "protect" {
  description = "Whether a bucket with something in it, and the lock table, refuse to be deleted."
  type        = bool
  default     = true
}

variable "tls_only" {
  description = "Whether the buckets refuse calls without TLS; false for an S3 that knows none, as the sandbox's."
  type        = bool
  default     = true
}
