# The load balancer that ends TLS with a certificate of ACM, for `ssl.provider: acm`.

locals {
  balancer = "${local.prefix}-alb-${local.suffix}"
}

resource "aws_security_group" "balancer" {
  count = local.acm ? 1 : 0

  name        = local.balancer
  description = "LabLink load balancer"
  vpc_id      = data.aws_vpc.default.id
  tags        = { Name = local.balancer }
}

resource "aws_vpc_security_group_ingress_rule" "balancer" {
  for_each = local.acm ? { for pair in setproduct([80, 443], local.public) : join(" ", pair) => pair } : {}

  security_group_id = aws_security_group.balancer[0].id
  description       = "Port ${each.value[0]}"
  ip_protocol       = "tcp"
  from_port         = each.value[0]
  to_port           = each.value[0]
  cidr_ipv4         = strcontains(each.value[1], ":") ? null : each.value[1]
  cidr_ipv6         = strcontains(each.value[1], ":") ? each.value[1] : null
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  count = local.acm ? 1 : 0

  security_group_id            = aws_security_group.balancer[0].id
  description                  = "The allocators"
  ip_protocol                  = "tcp"
  from_port                    = 80
  to_port                      = 80
  referenced_security_group_id = aws_security_group.allocator.id
}

resource "aws_lb" "allocator" {
  count = local.acm ? 1 : 0

  name                       = local.balancer
  load_balancer_type         = "application"
  security_groups            = [aws_security_group.balancer[0].id]
  subnets                    = data.aws_subnets.default.ids
  idle_timeout               = 4000 # /vm_startup is held for up to an hour
  enable_deletion_protection = var.protect
  drop_invalid_header_fields = true
}

resource "aws_lb_target_group" "allocator" {
  count = local.acm ? 1 : 0

  name                 = local.balancer
  port                 = 80
  protocol             = "HTTP"
  vpc_id               = data.aws_vpc.default.id
  deregistration_delay = "30" # held calls come back by themselves

  health_check {
    path                = "/api/health"
    matcher             = "200"
    interval            = 15
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_target_group_attachment" "allocator" {
  count = local.acm && local.single ? 1 : 0

  target_group_arn = aws_lb_target_group.allocator[0].arn
  target_id        = aws_instance.allocator[0].id
  port             = 80
}

resource "aws_lb_listener" "http" {
  count = local.acm ? 1 : 0

  load_balancer_arn = aws_lb.allocator[0].arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"

    redirect {
      port        = "443"
      protocol    = "HTTPS"
      status_code = "HTTP_301"
    }
  }
}

resource "aws_lb_listener" "https" {
  count = local.acm ? 1 : 0

  load_balancer_arn = aws_lb.allocator[0].arn
  port              = 443
  protocol          = "HTTPS"
  certificate_arn   = local.lab.ssl.certificate_arn
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.allocator[0].arn
  }
}
