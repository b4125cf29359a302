terraform {
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

provider "aws" {
  region = try(local.file.region, "us-west-2")

  default_tags {
    tags = {
      "lablink:deployment"  = local.deployment
      "lablink:environment" = local.environment
    }
  }
}
