output "chart_values" {
  description = "What the Helm chart is to be given of this (helm --values)."
  value = yamlencode({
    config = {
      kafka = {
        brokers = split(",", module.kafka.bootstrap_brokers)
        topics  = keys(var.kafka.topics)
        tls     = { enabled = true }
        sasl    = { mechanism = "SCRAM-SHA-512", username = var.kafka.username }
      }
    }
    externalSecrets = { enabled = true, storeRef = { name = "aws" } }
    mounts          = [{ name = "authorities", configMap = "rds-authorities", path = "/etc/audittrail/authorities" }]
    secrets = {
      "postgres.url"        = { name = "audittrail", key = "postgres-url", remote = { key = "${var.name}/app-database", template = local.database_url } }
      "ledger.signing_key"  = { name = "audittrail-signing", key = "signing-key", roles = ["notary"], remote = { key = "${var.name}/signing-key" } }
      "kafka.sasl.password" = { name = "audittrail-kafka", key = "password", roles = ["ingest", "replay"], remote = { key = module.kafka.scram_secret_name, property = "password" } }
    }
    migration = { grant = "audittrail_app", secret = { name = "audittrail-owner", key = "postgres-url", remote = { key = module.postgres.master_secret_arn, template = local.database_url } } }
  })
}

locals {
  database_url = "postgres://{{ .username | urlquery }}:{{ .password | urlquery }}@${module.postgres.endpoint}/audit?sslmode=verify-full&sslrootcert=/etc/audittrail/authorities/rds.pem"
}

output "topic_commands" {
  description = "Commands that make the topics. The AWS provider has no resource for them, and brokers make none by themselves."
  value       = module.kafka.topic_commands
}

output "kafka_bootstrap_brokers" {
  value = module.kafka.bootstrap_brokers
}

output "postgres_endpoint" {
  value = module.postgres.endpoint
}

output "archive_bucket" {
  value = module.archive.bucket
}

output "kek_url" {
  description = "For encryption.kek_url."
  value       = "awskms:///${module.subjects_key.arn}"
}

output "cluster_name" {
  value = local.cluster.name
}
