locals {
  address   = local.new_eip ? aws_eip.allocator[0].public_ip : local.eip ? data.aws_eip.given[0].public_ip : one(aws_instance.allocator[*].public_ip)
  named_url = "${local.lab.ssl.provider == "none" ? "http" : "https"}://${local.lab.dns.domain}"
  url       = local.has_name ? local.named_url : "http://${local.address}"
}

output "url" {
  description = "Where people and client VMs reach LabLink."
  value       = local.url
}

output "public_address" {
  description = "IPv4 address of the allocator; for a name that is kept by hand."
  value       = local.address
}

output "load_balancer" {
  description = "Name of the load balancer, for a CNAME that is kept by hand."
  value       = one(aws_lb.allocator[*].dns_name)
}

output "name_servers" {
  description = "For the registrar of the domain, where the zone was made here."
  value       = try(aws_route53_zone.made[0].name_servers, [])
}

output "ssh_command" {
  description = "A shell on the allocator, from the networks in allocator.ssh.ingress, with a key put there by EC2 Instance Connect."
  value       = local.single ? "aws ec2-instance-connect ssh --region ${local.lab.region} --instance-id ${aws_instance.allocator[0].id} --os-user ubuntu" : null
}

output "log_groups" {
  description = "Where logs are."
  value = {
    allocator = aws_cloudwatch_log_group.allocator.name
    client    = aws_cloudwatch_log_group.client.name
    lambda    = aws_cloudwatch_log_group.lambda.name
  }
}

output "dashboard" {
  description = "Name of the dashboard in CloudWatch."
  value       = aws_cloudwatch_dashboard.lablink.dashboard_name
}
