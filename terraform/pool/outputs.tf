output "security_group_id" {
  description = "For var.base of a shard."
  value       = aws_security_group.vm.id
}

output "instance_profile" {
  description = "Name, for var.base of a shard. Known once the profile may write: an instance without its policy would lose its first lines."
  value       = aws_iam_instance_profile.vm.name
  depends_on  = [aws_iam_role_policy.vm]
}

output "key_name" {
  description = "For var.base of a shard."
  value       = aws_key_pair.vm.key_name
}
