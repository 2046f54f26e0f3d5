output "arn" {
  value = aws_msk_cluster.this.arn
}

output "bootstrap_brokers" {
  description = "Where audittrail connects: by SCRAM where that is on."
  value       = contains(var.authentication, "scram") ? aws_msk_cluster.this.bootstrap_brokers_sasl_scram : aws_msk_cluster.this.bootstrap_brokers_sasl_iam
}

output "scram_secret_arn" {
  value = one(aws_secretsmanager_secret.scram[*].arn)
}

output "scram_secret_name" {
  value = one(aws_secretsmanager_secret.scram[*].name)
}

# Each topic has one for its dead letters beside it, so that audittrail need not be allowed to make topics.
output "topic_commands" {
  value = flatten([for name, topic in var.topics : [for topic_name, partitions in { (name) = topic.partitions, "${name}.dlq" = 1 } : join(" ", [
    "kafka-topics.sh --bootstrap-server \"$BROKERS\" --command-config client.properties --create --if-not-exists",
    "--topic ${topic_name} --partitions ${partitions} --replication-factor 3",
    "--config min.insync.replicas=2 --config retention.ms=${topic.retention_hours * 3600000}",
  ])]])
}
