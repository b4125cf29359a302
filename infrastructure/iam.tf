# What the allocator and the Lambda may do. `tests/infrastructure/test_iam.py` holds each action to a reason, and each `*`
# resource to AWS's own list of the actions that take no other.

locals {
  partition = data.aws_partition.here.partition
  account   = data.aws_caller_identity.here.account_id

  ec2         = "arn:${local.partition}:ec2:*:${local.account}"
  iam         = "arn:${local.partition}:iam::${local.account}"
  keys        = [for name in local.key_names : "arn:${local.partition}:ssm:${local.lab.region}:${local.account}:parameter${local.key_path}/${name}"]
  state_keys  = "${local.prefix}/${local.suffix}/clients"
  backup_keys = "${local.prefix}/${local.suffix}/backups"

  # 123456789012.dkr.ecr.us-west-2.amazonaws.com/lablink:1 → region, repository
  ecr = try(regex("^([0-9]{12})[.]dkr[.]ecr[.]([a-z0-9-]+)[.]amazonaws[.]com(?:[.]cn)?/([^:@]+)", local.image), null)
}

data "aws_iam_policy_document" "ec2_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "allocator" {
  name               = local.allocator
  description        = "LabLink allocator: makes and ends client VMs that carry its name"
  assume_role_policy = data.aws_iam_policy_document.ec2_trust.json
}

resource "aws_iam_instance_profile" "allocator" {
  name = local.allocator
  role = aws_iam_role.allocator.name
}

resource "aws_iam_role_policy" "allocator" {
  for_each = {
    fleet = data.aws_iam_policy_document.fleet.json
    own   = data.aws_iam_policy_document.own.json
  }

  name   = each.key
  role   = aws_iam_role.allocator.name
  policy = each.value
}

# The client tier: what Terraform and the controller do in EC2 and IAM.
data "aws_iam_policy_document" "fleet" {
  statement {
    sid = "See"
    actions = [
      "ec2:DescribeImages",
      "ec2:DescribeInstanceCreditSpecifications",
      "ec2:DescribeInstanceTypeOfferings",
      "ec2:DescribeInstanceTypes",
      "ec2:DescribeInstances",
      "ec2:DescribeKeyPairs",
      "ec2:DescribeSecurityGroupRules",
      "ec2:DescribeSecurityGroups",
      "ec2:DescribeSpotPriceHistory",
      "ec2:DescribeTags",
      "ec2:DescribeVolumes",
      "ec2:DescribeVpcs",
      "pricing:GetProducts",
    ]
    resources = ["*"] # AWS knows no resources for these
  }

  statement {
    sid       = "SeeOne"
    actions   = ["ec2:DescribeInstanceAttribute", "ec2:DescribeVpcAttribute", "ec2:GetConsoleOutput"]
    resources = ["${local.ec2}:instance/*", "${local.ec2}:vpc/*"]
  }

  statement {
    sid       = "SeeQuotas"
    actions   = ["servicequotas:GetServiceQuota"]
    resources = ["arn:${local.partition}:servicequotas:*:${local.account}:ec2/*"] # of every region that a pool may be in
  }

  # A new VM, its disk and its interface must carry our name; what it is made from is named by kind.
  statement {
    sid       = "Launch"
    actions   = ["ec2:RunInstances"]
    resources = ["${local.ec2}:instance/*", "${local.ec2}:volume/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/lablink:deployment"
      values   = [local.prefix]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/lablink:environment"
      values   = [local.suffix]
    }
  }

  statement {
    sid     = "LaunchFrom"
    actions = ["ec2:RunInstances"]
    resources = [
      "arn:${local.partition}:ec2:*::image/*",
      "${local.ec2}:key-pair/${local.prefix}-*",
      "${local.ec2}:network-interface/*",
      "${local.ec2}:subnet/*",
      "${local.ec2}:spot-instances-request/*",
    ]
  }

  statement {
    sid       = "LaunchInto"
    actions   = ["ec2:RunInstances"]
    resources = ["${local.ec2}:security-group/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/lablink:deployment"
      values   = [local.prefix]
    }
  }

  statement {
    sid = "MakeTagged"
    actions = [
      "ec2:CreateSecurityGroup",
      "ec2:ImportKeyPair",
    ]
    resources = ["${local.ec2}:key-pair/${local.prefix}-*", "${local.ec2}:security-group/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/lablink:deployment"
      values   = [local.prefix]
    }
  }

  statement {
    sid       = "MakeIn"
    actions   = ["ec2:CreateSecurityGroup"]
    resources = ["${local.ec2}:vpc/*"]
  }

  statement {
    sid       = "TagAtBirth"
    actions   = ["ec2:CreateTags"]
    resources = ["${local.ec2}:instance/*", "${local.ec2}:key-pair/*", "${local.ec2}:security-group/*", "${local.ec2}:security-group-rule/*", "${local.ec2}:volume/*"]

    condition {
      test     = "StringEquals"
      variable = "ec2:CreateAction"
      values   = ["AuthorizeSecurityGroupEgress", "AuthorizeSecurityGroupIngress", "CreateSecurityGroup", "ImportKeyPair", "RunInstances"]
    }
  }

  # Whatever carries our name may be changed and ended, and nothing else.
  statement {
    sid = "Change"
    actions = [
      "ec2:AuthorizeSecurityGroupEgress",
      "ec2:AuthorizeSecurityGroupIngress",
      "ec2:CreateTags",
      "ec2:DeleteKeyPair",
      "ec2:DeleteSecurityGroup",
      "ec2:DeleteTags",
      "ec2:ModifySecurityGroupRules",
      "ec2:RebootInstances",
      "ec2:RevokeSecurityGroupEgress",
      "ec2:RevokeSecurityGroupIngress",
      "ec2:StartInstances",
      "ec2:StopInstances",
      "ec2:TerminateInstances",
    ]
    resources = ["${local.ec2}:instance/*", "${local.ec2}:key-pair/*", "${local.ec2}:security-group/*", "${local.ec2}:security-group-rule/*", "${local.ec2}:volume/*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/lablink:deployment"
      values   = [local.prefix]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/lablink:environment"
      values   = [local.suffix]
    }
  }

  # A rule that is made has no tags of its own yet; its group, above, must be ours.
  statement {
    sid       = "MakeRules"
    actions   = ["ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress"]
    resources = ["${local.ec2}:security-group-rule/*"]
  }

  # Roles of client VMs: only with the boundary, so that no role made here can do more than a client VM may.
  statement {
    sid       = "MakeRoles"
    actions   = ["iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"]
    resources = ["${local.iam}:role/${local.prefix}-*"]

    condition {
      test     = "StringEquals"
      variable = "iam:PermissionsBoundary"
      values   = [aws_iam_policy.client_boundary.arn]
    }
  }

  statement {
    sid = "Roles"
    actions = [
      "iam:DeleteRole",
      "iam:DeleteRolePolicy",
      "iam:DetachRolePolicy",
      "iam:GetRole",
      "iam:GetRolePolicy",
      "iam:ListAttachedRolePolicies",
      "iam:ListInstanceProfilesForRole",
      "iam:ListRolePolicies",
      "iam:TagRole",
      "iam:UntagRole",
      "iam:UpdateAssumeRolePolicy",
    ]
    resources = ["${local.iam}:role/${local.prefix}-*"]
  }

  # The allocator's own role is not one of those that it changes, whatever a pool is called.
  statement {
    sid    = "NotItself"
    effect = "Deny"
    actions = [
      "iam:DeleteRole",
      "iam:DeleteRolePolicy",
      "iam:DetachRolePolicy",
      "iam:PutRolePermissionsBoundary",
      "iam:PutRolePolicy",
      "iam:UpdateAssumeRolePolicy",
    ]
    resources = [aws_iam_role.allocator.arn, aws_iam_role.lambda.arn]
  }

  statement {
    sid = "Profiles"
    actions = [
      "iam:AddRoleToInstanceProfile",
      "iam:CreateInstanceProfile",
      "iam:DeleteInstanceProfile",
      "iam:GetInstanceProfile",
      "iam:RemoveRoleFromInstanceProfile",
      "iam:TagInstanceProfile",
      "iam:UntagInstanceProfile",
    ]
    resources = ["${local.iam}:instance-profile/${local.prefix}-*"]
  }

  statement {
    sid       = "HandOver"
    actions   = ["iam:PassRole"]
    resources = ["${local.iam}:role/${local.prefix}-*"]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ec2.amazonaws.com"]
    }
  }
}

# The most that any client VM's role can do, whatever policy it is given.
data "aws_iam_policy_document" "client_boundary" {
  statement {
    sid       = "ClientLogs"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.client.arn}:*"]
  }

  statement {
    sid       = "Gauges"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"] # AWS knows no resources for it, but the namespace

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = ["LabLink"]
    }
  }
}

resource "aws_iam_policy" "client_boundary" {
  name        = "${local.prefix}-client-boundary-${local.suffix}"
  description = "The most that a LabLink client VM may do"
  policy      = data.aws_iam_policy_document.client_boundary.json
}

# What the allocator itself needs: its keys, logs, image, states, backups.
data "aws_iam_policy_document" "own" {
  statement {
    sid       = "Host"
    actions   = ["ssm:GetParameter"]
    resources = ["arn:${local.partition}:ssm:${local.lab.region}:${local.account}:parameter${local.host_name}"]
  }

  statement {
    sid       = "Keys"
    actions   = ["ssm:GetParameter", "ssm:PutParameter"]
    resources = local.keys
  }

  statement {
    sid       = "PublicImages"
    actions   = ["ssm:GetParameter"]
    resources = ["arn:${local.partition}:ssm:*::parameter/aws/service/*"]
  }

  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.allocator.arn}:*"]
  }

  statement {
    sid       = "Gauges"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"] # AWS knows no resources for it, but the namespace

    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = ["LabLink"]
    }
  }

  statement {
    sid       = "LambdaToken"
    actions   = ["lambda:GetFunctionConfiguration", "lambda:UpdateFunctionConfiguration"]
    resources = ["arn:${local.partition}:lambda:${local.lab.region}:${local.account}:function:${local.lambda}"]
  }

  # Lambda wants it of whoever changes a function, though its role stays.
  statement {
    sid       = "LambdaRole"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.lambda.arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["lambda.amazonaws.com"]
    }
  }

  statement {
    sid       = "DeadLetters"
    actions   = ["sqs:DeleteMessage", "sqs:ReceiveMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }

  dynamic "statement" {
    for_each = local.ecr == null ? [] : [local.ecr]

    content {
      sid       = "Image"
      actions   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = ["arn:${local.partition}:ecr:${statement.value[1]}:${statement.value[0]}:repository/${statement.value[2]}"]
    }
  }

  dynamic "statement" {
    for_each = local.ecr == null ? [] : [local.ecr]

    content {
      sid       = "ImageLogin"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = ["*"] # AWS knows no resources for it
    }
  }

  dynamic "statement" {
    for_each = local.s3_state ? [local.lab.state.bucket] : []

    content {
      sid       = "States"
      actions   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
      resources = ["arn:${local.partition}:s3:::${statement.value}/${local.state_keys}/*"]
    }
  }

  dynamic "statement" {
    for_each = local.dynamodb ? [local.lock_name] : []

    content {
      sid       = "StateLock"
      actions   = ["dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem"]
      resources = ["arn:${local.partition}:dynamodb:${local.lab.region}:${local.account}:table/${statement.value}"]
    }
  }

  dynamic "statement" {
    for_each = local.backups ? [local.lab.backup.bucket] : []

    content {
      sid       = "Backups"
      actions   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
      resources = ["arn:${local.partition}:s3:::${statement.value}/${local.backup_keys}/*"]
    }
  }

  dynamic "statement" {
    for_each = { for sid, one in {
      StateList  = { bucket = local.s3_state ? local.lab.state.bucket : "", keys = local.state_keys }
      BackupList = { bucket = local.lab.backup.bucket, keys = local.backup_keys }
    } : sid => one if one.bucket != "" }

    content {
      sid       = statement.key
      actions   = ["s3:ListBucket"]
      resources = ["arn:${local.partition}:s3:::${statement.value.bucket}"]

      condition {
        test     = "StringLike"
        variable = "s3:prefix"
        values   = ["${statement.value.keys}/*"]
      }
    }
  }

  dynamic "statement" {
    for_each = aws_db_instance.lablink

    content {
      sid       = "DatabasePassword"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [statement.value.master_user_secret[0].secret_arn]
    }
  }

  dynamic "statement" {
    for_each = length(local.topics) > 0 ? [local.topics] : []

    content {
      sid       = "Notify"
      actions   = ["sns:Publish"]
      resources = statement.value
    }
  }
}

data "aws_iam_policy_document" "lambda_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "lambda" {
  name               = "${local.prefix}-log-processor-${local.suffix}"
  description        = "LabLink log Lambda: writes its own log, and what it could not deliver to its queue"
  assume_role_policy = data.aws_iam_policy_document.lambda_trust.json
}

data "aws_iam_policy_document" "lambda" {
  statement {
    sid       = "OwnLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.lambda.arn}:*"]
  }

  statement {
    sid       = "DeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }
}

resource "aws_iam_role_policy" "lambda" {
  name   = "logs"
  role   = aws_iam_role.lambda.name
  policy = data.aws_iam_policy_document.lambda.json
}
