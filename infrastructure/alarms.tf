# What somebody should be told of, and one page that shows it.

locals {
  told = compact(concat([var.alarm_topic], local.topics))

  # name → metric; absent data of a machine that should report is an alarm of its own.
  instance_alarms = local.single ? {
    cpu    = { namespace = "AWS/EC2", metric = "CPUUtilization", statistic = "Average", above = 90, minutes = 15, missing = "missing", dimensions = { InstanceId = aws_instance.allocator[0].id } }
    status = { namespace = "AWS/EC2", metric = "StatusCheckFailed", statistic = "Maximum", above = 0, minutes = 2, missing = "breaching", dimensions = { InstanceId = aws_instance.allocator[0].id } }
  } : {}
  host_alarms = {
    disk = { namespace = "LabLink", metric = "disk_used_percent", statistic = "Maximum", above = 85, minutes = 10, missing = "missing", dimensions = local.whole }
  }

  # What the leading controller tells every minute (controller/metric.py), over all pools: pools come and go without Terraform.
  # Nobody who leads is nobody who tells, so silence about ticks is a trouble, and about the rest of it none.
  whole = { deployment = local.prefix, environment = local.suffix }
  lab_alarms = local.lab.allocator.cloudwatch == "none" ? {} : {
    converged   = { namespace = "LabLink", metric = "pools_not_converged", statistic = "Minimum", above = 0, minutes = 30, missing = "notBreaching", dimensions = local.whole }
    ticks       = { namespace = "LabLink", metric = "tick_age_seconds", statistic = "Minimum", above = 120, minutes = 5, missing = "breaching", dimensions = local.whole }
    trouble     = { namespace = "LabLink", metric = "troubles_critical", statistic = "Minimum", above = 0, minutes = 2, missing = "notBreaching", dimensions = local.whole }
    people-wait = { namespace = "LabLink", metric = "wait_longest_seconds", statistic = "Minimum", above = 900, minutes = 2, missing = "notBreaching", dimensions = local.whole }
    vms-broken  = { namespace = "LabLink", metric = "vms_broken", statistic = "Minimum", above = 0, minutes = 30, missing = "notBreaching", dimensions = local.whole }
    runs-fail   = { namespace = "LabLink", metric = "runs_failed", statistic = "Maximum", above = 2, minutes = 1, missing = "notBreaching", dimensions = local.whole }
    budget      = { namespace = "LabLink", metric = "budget_used_percent", statistic = "Minimum", above = 90, minutes = 5, missing = "notBreaching", dimensions = local.whole }
    backup      = { namespace = "LabLink", metric = "backups_missed", statistic = "Minimum", above = 2, minutes = 15, missing = "notBreaching", dimensions = local.whole }
  }
  lambda_alarms = {
    lambda-errors    = { namespace = "AWS/Lambda", metric = "Errors", statistic = "Sum", above = 0, minutes = 5, missing = "notBreaching", dimensions = { FunctionName = local.lambda } }
    lambda-throttles = { namespace = "AWS/Lambda", metric = "Throttles", statistic = "Sum", above = 0, minutes = 5, missing = "notBreaching", dimensions = { FunctionName = local.lambda } }
  }
  balancer_alarms = local.acm ? {
    target-5xx = { namespace = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", statistic = "Sum", above = 10, minutes = 5, missing = "notBreaching", dimensions = { LoadBalancer = aws_lb.allocator[0].arn_suffix } }
  } : {}
  alarms = merge(local.instance_alarms, local.host_alarms, local.lab_alarms, local.lambda_alarms, local.balancer_alarms)
}

resource "aws_cloudwatch_metric_alarm" "lablink" {
  for_each = local.alarms

  alarm_name          = "${local.prefix}-${each.key}-${local.suffix}"
  alarm_description   = "LabLink: deploy/RUNBOOK.md says what to do about ${each.key}"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  period              = 60
  evaluation_periods  = each.value.minutes
  treat_missing_data  = each.value.missing
  alarm_actions       = local.told
  ok_actions          = local.told
}

resource "aws_cloudwatch_dashboard" "lablink" {
  dashboard_name = "${local.prefix}-${local.suffix}"
  dashboard_body = jsonencode({
    widgets = [
      for index, name in sort(keys(local.alarms)) : {
        type   = "metric"
        x      = 8 * (index % 3)
        y      = 6 * floor(index / 3)
        width  = 8
        height = 6
        properties = {
          title   = name
          region  = local.lab.region
          stat    = local.alarms[name].statistic
          period  = 60
          metrics = [concat([local.alarms[name].namespace, local.alarms[name].metric], flatten([for key, value in local.alarms[name].dimensions : [key, value]]))]
        }
      }
    ]
  })
}
