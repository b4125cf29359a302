terraform {
  # Backends with their own lock file.
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

# No backend here: `lablink infra init` writes backend.tf beside a working copy of this folder, as lablink.yaml says.
provider "aws" {
  region = local.lab.region

  default_tags {
    tags = {
      "lablink:deployment"  = local.lab.deployment
      "lablink:environment" = local.lab.environment
    }
  }
}
