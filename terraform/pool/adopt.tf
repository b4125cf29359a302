# A first run that was killed leaves resources that the state does not know. Each is imported in the same apply, when
# var.adopt names it; a name that is asked for and not found fails the plan, and nothing is made twice.

import {
  for_each = { for key, id in var.adopt : key => id if key == "security_group" }
  to       = aws_security_group.vm
  id       = each.value
}

import {
  for_each = { for key, id in var.adopt : trimprefix(key, "ingress:") => id if startswith(key, "ingress:") }
  to       = aws_vpc_security_group_ingress_rule.ssh[each.key]
  id       = each.value
}

import {
  for_each = { for key, id in var.adopt : trimprefix(key, "egress:") => id if startswith(key, "egress:") }
  to       = aws_vpc_security_group_egress_rule.any[each.key]
  id       = each.value
}

import {
  for_each = { for key, id in var.adopt : key => id if key == "role" }
  to       = aws_iam_role.vm
  id       = each.value
}

import {
  for_each = { for key, id in var.adopt : key => id if key == "role_policy" }
  to       = aws_iam_role_policy.vm
  id       = each.value
}

import {
  for_each = { for key, id in var.adopt : key => id if key == "instance_profile" }
  to       = aws_iam_instance_profile.vm
  id       = each.value
}

import {
  for_each = { for key, id in var.adopt : key => id if key == "key_pair" }
  to       = aws_key_pair.vm
  id       = each.value
}
