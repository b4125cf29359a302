# What must be there before everything else and outlives it: the buckets of states and backups, and the lock table.
# Applied once, by a person, with its state kept on that person's machine: it can be read back with `terraform import`.

locals {
  file        = yamldecode(file(var.lab_file))
  deployment  = try(local.file.deployment, "lablink")
  environment = try(local.file.environment, "dev")

  state_bucket  = try(local.file.state.backend, "database") == "s3" ? try(local.file.state.bucket, "") : ""
  backup_bucket = try(local.file.backup.bucket, "")
  lock_table    = local.state_bucket != "" && try(local.file.state.lock, "s3") == "dynamodb"

  # One bucket may serve as both.
  buckets = toset(compact([local.state_bucket, local.backup_bucket]))
}

resource "aws_s3_bucket" "kept" {
  for_each = local.buckets

  bucket        = each.key
  force_destroy = !var.protect
}

resource "aws_s3_bucket_versioning" "kept" {
  for_each = local.buckets

  bucket = aws_s3_bucket.kept[each.key].id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "kept" {
  for_each = local.buckets

  bucket = aws_s3_bucket.kept[each.key].id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "kept" {
  for_each = local.buckets

  bucket                  = aws_s3_bucket.kept[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

# The program ends old backups; this ends what it leaves behind: earlier versions and broken uploads.
resource "aws_s3_bucket_lifecycle_configuration" "kept" {
  for_each = local.buckets

  bucket = aws_s3_bucket.kept[each.key].id

  rule {
    id     = "earlier-versions"
    status = "Enabled"

    filter {
      prefix = ""
    }

    noncurrent_version_expiration {
      noncurrent_days = 90
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.kept]
}

data "aws_iam_policy_document" "tls_only" {
  for_each = var.tls_only ? local.buckets : toset([])

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject"]
    resources = [aws_s3_bucket.kept[each.key].arn, "${aws_s3_bucket.kept[each.key].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "kept" {
  for_each = var.tls_only ? local.buckets : toset([])

  bucket = aws_s3_bucket.kept[each.key].id
  policy = data.aws_iam_policy_document.tls_only[each.key].json

  depends_on = [aws_s3_bucket_public_access_block.kept]
}

# Terraform's own name for the key: https://developer.hashicorp.com/terraform/language/backend/s3
resource "aws_dynamodb_table" "lock" {
  count = local.lock_table ? 1 : 0

  name                        = "${local.deployment}-lock-${local.environment}"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "LockID"
  deletion_protection_enabled = var.protect

  attribute {
    name = "LockID"
    type = "S"
  }
}

output "buckets" {
  description = "Buckets of states and backups."
  value       = sort([for bucket in aws_s3_bucket.kept : bucket.bucket])
}

output "lock_table" {
  description = "Name of the lock table; null: states are locked by a file beside them."
  value       = one(aws_dynamodb_table.lock[*].name)
}
