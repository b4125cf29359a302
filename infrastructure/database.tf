# PostgreSQL of RDS, for `database.mode: rds`; reachable from the allocators alone.

locals {
  database = "${local.prefix}-database-${local.suffix}"
}

resource "aws_security_group" "database" {
  count = local.rds ? 1 : 0

  name        = local.database
  description = "LabLink database"
  vpc_id      = data.aws_vpc.default.id
  tags        = { Name = local.database }
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  count = local.rds ? 1 : 0

  security_group_id            = aws_security_group.database[0].id
  description                  = "The allocators"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = aws_security_group.allocator.id
}

resource "aws_db_subnet_group" "lablink" {
  count = local.rds ? 1 : 0

  name       = local.database
  subnet_ids = data.aws_subnets.default.ids
}

resource "aws_db_instance" "lablink" {
  count = local.rds ? 1 : 0

  identifier                  = local.database
  engine                      = "postgres"
  engine_version              = "17"
  instance_class              = local.lab.database.instance_class
  allocated_storage           = 20
  max_allocated_storage       = 200
  storage_type                = "gp3"
  storage_encrypted           = true
  multi_az                    = local.lab.database.multi_az
  db_name                     = "lablink"
  username                    = "lablink"
  manage_master_user_password = true # in Secrets Manager, turned by AWS; no state of Terraform holds it
  db_subnet_group_name        = aws_db_subnet_group.lablink[0].name
  vpc_security_group_ids      = [aws_security_group.database[0].id]
  publicly_accessible         = false
  backup_retention_period     = 7
  copy_tags_to_snapshot       = true
  deletion_protection         = var.protect
  skip_final_snapshot         = false
  final_snapshot_identifier   = "${local.database}-final"
  auto_minor_version_upgrade  = true
  apply_immediately           = true
}
