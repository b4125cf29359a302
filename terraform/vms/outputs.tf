output "instance_ids" {
  description = "Instance id of each VM by host name."
  value       = { for name, vm in aws_instance.vm : name => vm.id }
}
