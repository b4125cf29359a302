# A snapshot of the data volume every day, seven of them kept, made by AWS also when the allocator is down.

data "aws_iam_policy_document" "snapshots_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["dlm.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "snapshots" {
  count = local.embedded ? 1 : 0

  name               = "${local.prefix}-snapshots-${local.suffix}"
  description        = "Makes and ends the snapshots of the LabLink data volume"
  assume_role_policy = data.aws_iam_policy_document.snapshots_trust.json
}

data "aws_iam_policy_document" "snapshots" {
  statement {
    sid       = "Find"
    actions   = ["ec2:DescribeInstances", "ec2:DescribeSnapshots", "ec2:DescribeVolumes"]
    resources = ["*"] # AWS knows no resources for these
  }

  statement {
    sid       = "Make"
    actions   = ["ec2:CreateSnapshot"]
    resources = concat(aws_ebs_volume.data[*].arn, ["arn:${local.partition}:ec2:${local.lab.region}::snapshot/*"])
  }

  statement {
    sid       = "Name"
    actions   = ["ec2:CreateTags"]
    resources = ["arn:${local.partition}:ec2:${local.lab.region}::snapshot/*"]

    condition {
      test     = "StringEquals"
      variable = "ec2:CreateAction"
      values   = ["CreateSnapshot"]
    }
  }

  statement {
    sid       = "End"
    actions   = ["ec2:DeleteSnapshot"]
    resources = ["arn:${local.partition}:ec2:${local.lab.region}::snapshot/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/lablink:snapshots"
      values   = [local.allocator]
    }
  }
}

resource "aws_iam_role_policy" "snapshots" {
  count = local.embedded ? 1 : 0

  name   = "snapshots"
  role   = aws_iam_role.snapshots[0].name
  policy = data.aws_iam_policy_document.snapshots.json
}

resource "aws_dlm_lifecycle_policy" "data" {
  count = local.embedded ? 1 : 0

  description        = "LabLink ${local.prefix} ${local.suffix} daily"
  execution_role_arn = aws_iam_role.snapshots[0].arn

  policy_details {
    resource_types = ["VOLUME"]
    target_tags    = { "lablink:snapshots" = local.allocator }

    schedule {
      name      = "daily"
      copy_tags = true

      create_rule {
        interval      = 24
        interval_unit = "HOURS"
        times         = ["09:00"]
      }

      retain_rule {
        count = 7
      }
    }
  }

  depends_on = [aws_iam_role_policy.snapshots]
}
