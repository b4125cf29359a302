terraform {
  # for_each in import blocks; backends with their own lock file.
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

# No backend here: the controller writes backend.tf beside a working copy of this folder.
provider "aws" {
  region      = var.region
  max_retries = 3
}
