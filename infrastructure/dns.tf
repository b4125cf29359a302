# The allocator's name, where `dns.enabled` and `dns.terraform_managed`; else DNS is left alone.

resource "aws_route53_zone" "made" {
  count = local.new_zone ? 1 : 0

  name    = local.lab.dns.domain
  comment = "LabLink ${local.prefix} ${local.suffix}"
}

# The zone of the name itself or, for lab.example.org, of example.org; zone_id spares the guess.
data "aws_route53_zone" "found" {
  count = local.records && !local.new_zone ? 1 : 0

  zone_id      = local.lab.dns.zone_id == "" ? null : local.lab.dns.zone_id
  name         = local.lab.dns.zone_id == "" ? local.zone_name : null
  private_zone = false
}

locals {
  labels    = split(".", local.lab.dns.domain)
  zone_name = length(local.labels) > 2 ? join(".", slice(local.labels, 1, length(local.labels))) : local.lab.dns.domain
  zone_id   = local.new_zone ? aws_route53_zone.made[0].zone_id : one(data.aws_route53_zone.found[*].zone_id)
}

resource "aws_route53_record" "allocator" {
  count = local.records ? 1 : 0

  zone_id = local.zone_id
  name    = local.lab.dns.domain
  type    = "A"
  ttl     = local.acm ? null : 60
  records = local.acm ? null : [local.address]

  dynamic "alias" {
    for_each = aws_lb.allocator

    content {
      name                   = alias.value.dns_name
      zone_id                = alias.value.zone_id
      evaluate_target_health = true
    }
  }
}
