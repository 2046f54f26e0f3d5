# PostgreSQL with the settings that audittrail needs. Its master user owns the database and may create roles, so it migrates.

locals {
  major = split(".", var.engine_version)[0]
  # docs/OPERATIONS.md has the reasons.
  settings = merge({
    "rds.force_ssl"               = "1"
    "synchronous_commit"          = "on" # serve refuses to start otherwise
    "max_locks_per_transaction"   = "256"
    "wal_compression"             = "lz4"
    "max_wal_size"                = "16384" # MB
    "checkpoint_timeout"          = "900"   # seconds
    "track_io_timing"             = "1"
    "hot_standby_feedback"        = "1" # of replicas: what is vacuumed must not end their reads
    "idle_session_timeout"        = "0" # a process with the API keeps an idle connection that listens
    "log_lock_waits"              = "1"
    "log_autovacuum_min_duration" = "10000"
  }, var.parameters)
  at_restart = ["max_locks_per_transaction"]
}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-postgres"
  description = "PostgreSQL of ${var.name}"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.client_group_id
  description                  = "pods"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "${var.name}-"
  family      = "postgres${local.major}"
  dynamic "parameter" {
    for_each = local.settings
    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = contains(local.at_restart, parameter.key) ? "pending-reboot" : "immediate"
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_class
  db_name        = "audit"

  username                      = "audittrail_deploy"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.kms_key_arn

  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = var.kms_key_arn
  allocated_storage     = var.storage_gib
  max_allocated_storage = var.max_storage_gib

  multi_az               = var.multi_az
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  parameter_group_name   = aws_db_parameter_group.this.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  backup_retention_period   = var.backup_days
  backup_window             = "02:00-03:00"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.name}-final"
  deletion_protection       = var.deletion_protection

  maintenance_window              = "sun:03:30-sun:04:30"
  auto_minor_version_upgrade      = true
  apply_immediately               = false
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.kms_key_arn
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
}

# Copies that the API reads from (postgres.replica_urls). They are encrypted by the primary's key and have its subnets.
resource "aws_db_instance" "replica" {
  count               = var.replicas
  identifier          = "${var.name}-replica-${count.index + 1}"
  replicate_source_db = aws_db_instance.this.identifier
  instance_class      = coalesce(var.replica_instance_class, var.instance_class)

  storage_type          = "gp3"
  storage_encrypted     = true
  max_allocated_storage = var.max_storage_gib

  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  parameter_group_name   = aws_db_parameter_group.this.name
  ca_cert_identifier     = "rds-ca-rsa2048-g1"

  backup_retention_period = 0 # the primary has them
  skip_final_snapshot     = true
  deletion_protection     = var.deletion_protection

  maintenance_window              = "sun:05:30-sun:06:30" # not the primary's
  auto_minor_version_upgrade      = true
  apply_immediately               = false
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.kms_key_arn
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
}
