# Kafka with TLS alone, three brokers, and settings under which an acknowledged record is not lost.

resource "aws_security_group" "this" {
  name        = "${var.name}-kafka"
  description = "Brokers of ${var.name}"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each                     = { for method, port in { scram = 9096, iam = 9098 } : method => port if contains(var.authentication, method) }
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = var.client_group_id
  description                  = "clients that log in by ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

resource "aws_msk_configuration" "this" {
  name              = var.name
  kafka_versions    = [var.kafka_version]
  server_properties = join("\n", [for key, value in local.settings : "${key}=${value}"])

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  settings = {
    "auto.create.topics.enable"      = "false" # a mistyped name must not become a topic
    "default.replication.factor"     = "3"
    "min.insync.replicas"            = "2"     # with acks=all: a record is in two zones before it counts
    "unclean.leader.election.enable" = "false" # else a log may be cut below what is stored, and ingest stops
    "log.retention.hours"            = "168"   # longer than the longest outage of ingest
    "group.min.session.timeout.ms"   = "6000"  # kafka.session_timeout is 6 s
    "group.max.session.timeout.ms"   = "300000"
    "offsets.retention.minutes"      = "10080"
  }
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/msk/${var.name}"
  retention_in_days = 90
  kms_key_id        = null # broker logs hold no records
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  kafka_version          = var.kafka_version
  number_of_broker_nodes = length(var.subnet_ids)
  enhanced_monitoring    = "PER_TOPIC_PER_BROKER"

  broker_node_group_info {
    instance_type   = var.instance_type
    client_subnets  = var.subnet_ids
    security_groups = [aws_security_group.this.id]
    storage_info {
      ebs_storage_info {
        volume_size = var.volume_gib
      }
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  client_authentication {
    unauthenticated = false
    sasl {
      scram = contains(var.authentication, "scram")
      iam   = contains(var.authentication, "iam")
    }
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = var.kms_key_arn
    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.this.name
      }
    }
  }

  lifecycle {
    prevent_destroy = true
    ignore_changes  = [broker_node_group_info[0].storage_info[0].ebs_storage_info[0].volume_size] # the disks grow by themselves
  }
}

resource "aws_appautoscaling_target" "disks" {
  service_namespace  = "kafka"
  resource_id        = aws_msk_cluster.this.arn
  scalable_dimension = "kafka:broker-storage:VolumeSize"
  min_capacity       = 1
  max_capacity       = var.volume_gib * 4
}

resource "aws_appautoscaling_policy" "disks" {
  name               = "${var.name}-kafka-disks"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.disks.service_namespace
  resource_id        = aws_appautoscaling_target.disks.resource_id
  scalable_dimension = aws_appautoscaling_target.disks.scalable_dimension
  target_tracking_scaling_policy_configuration {
    target_value     = 60
    disable_scale_in = true
    predefined_metric_specification {
      predefined_metric_type = "KafkaBrokerStorageUtilization"
    }
  }
}

# MSK wants this beginning of the name, and a key that is not the account's own.
resource "aws_secretsmanager_secret" "scram" {
  count                   = contains(var.authentication, "scram") ? 1 : 0
  name                    = "AmazonMSK_${var.name}"
  description             = "Login of ${var.username} at the brokers of ${var.name}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = 30
}

resource "aws_secretsmanager_secret_version" "scram" {
  count                    = contains(var.authentication, "scram") ? 1 : 0
  secret_id                = aws_secretsmanager_secret.scram[0].id
  secret_string_wo         = jsonencode({ username = var.username, password = var.password })
  secret_string_wo_version = var.password_version
}

resource "aws_msk_single_scram_secret_association" "this" {
  count       = contains(var.authentication, "scram") ? 1 : 0
  cluster_arn = aws_msk_cluster.this.arn
  secret_arn  = aws_secretsmanager_secret.scram[0].arn
  depends_on  = [aws_secretsmanager_secret_version.scram]
}
