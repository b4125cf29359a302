# Logs: three groups, and the Lambda that brings the client VMs' lines to the allocator.

resource "aws_cloudwatch_log_group" "allocator" {
  name              = "/aws/ec2/${local.allocator}"
  retention_in_days = local.lab.logs.cloudwatch_days
}

resource "aws_cloudwatch_log_group" "client" {
  name              = local.log_group
  retention_in_days = local.lab.logs.cloudwatch_days
}

resource "aws_cloudwatch_log_group" "lambda" {
  name              = "/aws/lambda/${local.lambda}"
  retention_in_days = local.lab.logs.cloudwatch_days
}

resource "aws_lambda_function" "log_processor" {
  function_name    = local.lambda
  description      = "Brings the log lines of LabLink's client VMs to the allocator"
  role             = aws_iam_role.lambda.arn
  runtime          = "python3.12"
  handler          = "handler.handler"
  filename         = var.lambda_zip
  source_code_hash = filebase64sha256(var.lambda_zip)
  memory_size      = 128
  timeout          = 60

  environment {
    variables = { ALLOCATOR_URL = local.url }
  }

  # The platform's own lines (start, end, report, what the handler raises) as JSON, like all other logs.
  logging_config {
    log_format = "JSON"
    log_group  = aws_cloudwatch_log_group.lambda.name
  }

  dead_letter_config {
    target_arn = aws_sqs_queue.dead_letters.arn
  }

  lifecycle {
    # The allocator's program sets it at its first boot: no secret goes through Terraform.
    ignore_changes = [environment[0].variables["LOG_TOKEN"]]
  }

  # Lambda makes its log group itself when it is quicker, and then without an end to what it keeps.
  depends_on = [aws_cloudwatch_log_group.lambda, aws_iam_role_policy.lambda]
}

resource "aws_lambda_permission" "logs" {
  statement_id   = "client-log-group"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.log_processor.function_name
  principal      = "logs.amazonaws.com"
  source_arn     = "${aws_cloudwatch_log_group.client.arn}:*"
  source_account = data.aws_caller_identity.here.account_id
}

resource "aws_cloudwatch_log_subscription_filter" "client" {
  name            = "${local.prefix}-client-logs-${local.suffix}"
  log_group_name  = aws_cloudwatch_log_group.client.name
  filter_pattern  = ""
  destination_arn = aws_lambda_function.log_processor.arn

  depends_on = [aws_lambda_permission.logs]
}

# What the Lambda could not deliver; the controller fetches it when the allocator is back.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${local.prefix}-log-dead-letters-${local.suffix}"
  message_retention_seconds = 14 * 24 * 3600
  sqs_managed_sse_enabled   = true
}
