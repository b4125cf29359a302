# Who reaches the allocator, and its address.

locals {
  public     = ["0.0.0.0/0", "::/0"]
  from_world = local.acm ? [] : local.public # behind a load balancer, the allocator itself is closed

  ingress = merge(
    { for cidr in local.from_world : "80 ${cidr}" => { port = 80, cidr = cidr } },
    { for cidr in local.from_world : "443 ${cidr}" => { port = 443, cidr = cidr } },
    { for cidr in local.lab.allocator.ssh.ingress : "22 ${cidr}" => { port = 22, cidr = cidr } },
    { for cidr in local.lab.allocator.open_port_5000 ? local.public : [] : "5000 ${cidr}" => { port = 5000, cidr = cidr } },
  )
}

resource "aws_security_group" "allocator" {
  name        = local.allocator
  description = "LabLink allocator"
  vpc_id      = data.aws_vpc.default.id
  tags        = { Name = local.allocator }
}

resource "aws_vpc_security_group_ingress_rule" "allocator" {
  for_each = local.ingress

  security_group_id = aws_security_group.allocator.id
  description       = "Port ${each.value.port}"
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = strcontains(each.value.cidr, ":") ? null : each.value.cidr
  cidr_ipv6         = strcontains(each.value.cidr, ":") ? each.value.cidr : null
}

resource "aws_vpc_security_group_ingress_rule" "from_balancer" {
  count = local.acm ? 1 : 0

  security_group_id            = aws_security_group.allocator.id
  description                  = "The load balancer"
  ip_protocol                  = "tcp"
  from_port                    = 80
  to_port                      = 80
  referenced_security_group_id = aws_security_group.balancer[0].id
}

resource "aws_vpc_security_group_egress_rule" "allocator" {
  for_each = toset(local.public)

  security_group_id = aws_security_group.allocator.id
  description       = "Anywhere"
  ip_protocol       = "-1"
  cidr_ipv4         = strcontains(each.key, ":") ? null : each.key
  cidr_ipv6         = strcontains(each.key, ":") ? each.key : null
}

resource "aws_eip" "allocator" {
  count = local.new_eip ? 1 : 0

  domain = "vpc"
  tags   = { Name = local.allocator }
}

data "aws_eip" "given" {
  count = local.eip && !local.new_eip ? 1 : 0

  id = local.lab.eip.allocation_id
}

# Apart from the address, so that a new instance takes the old address over.
resource "aws_eip_association" "allocator" {
  count = local.eip ? 1 : 0

  allocation_id = local.new_eip ? aws_eip.allocator[0].id : local.lab.eip.allocation_id
  instance_id   = aws_instance.allocator[0].id
}
