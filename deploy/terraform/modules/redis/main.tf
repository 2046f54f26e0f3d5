# Redis for limits and a cache that the API's processes share. It may be emptied at any time, so it keeps no backups. TLS
# alone, in private subnets, and one login that may do no more than audittrail does.

locals {
  # docs/OPERATIONS.md has the reasons.
  rights = "~audittrail:* -@all +@connection +@read +@write +@transaction +@scripting +time -@dangerous"
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-redis"
  description = "Redis of ${var.name}"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.client_group_id
  description                  = "pods"
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_elasticache_parameter_group" "this" {
  name   = "${var.name}-redis7"
  family = "redis7"
  parameter {
    name  = "maxmemory-policy"
    value = "allkeys-lru"
  }

  lifecycle {
    create_before_destroy = true
  }
}

# ElastiCache wants a user of the name default in each group. Nobody logs in by it.
resource "aws_elasticache_user" "default" {
  user_id       = "${var.name}-default"
  user_name     = "default"
  engine        = "redis"
  access_string = "off ~* -@all"
  authentication_mode {
    type = "no-password-required"
  }
}

# It is off until the command in the output gives it its password and turns it on: a password that Terraform sets would
# be in the state.
resource "aws_elasticache_user" "audittrail" {
  user_id       = "${var.name}-app"
  user_name     = "audittrail"
  engine        = "redis"
  access_string = "off ${local.rights}"
  authentication_mode {
    type = "no-password-required"
  }

  lifecycle {
    ignore_changes = [access_string, authentication_mode, no_password_required, passwords]
  }
}

resource "aws_elasticache_user_group" "this" {
  user_group_id = var.name
  engine        = "redis"
  user_ids      = [aws_elasticache_user.default.user_id, aws_elasticache_user.audittrail.user_id]
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id = var.name
  description          = "Limits and cache of ${var.name}"
  engine               = "redis"
  engine_version       = var.engine_version
  node_type            = var.node_type
  port                 = 6379
  parameter_group_name = aws_elasticache_parameter_group.this.name

  num_cache_clusters         = var.nodes
  automatic_failover_enabled = var.nodes > 1
  multi_az_enabled           = var.nodes > 1

  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  user_group_ids             = [aws_elasticache_user_group.this.user_group_id]
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn

  snapshot_retention_limit   = 0
  maintenance_window         = "sun:04:30-sun:05:30"
  auto_minor_version_upgrade = true
  apply_immediately          = false
}

# What audittrail's Secret in Kubernetes is made from. Its value is put in by people: {"username", "password"}.
resource "aws_secretsmanager_secret" "this" {
  name                    = "${var.name}/redis"
  description             = "Login of audittrail at Redis: {\"username\": \"audittrail\", \"password\"}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 30
}
