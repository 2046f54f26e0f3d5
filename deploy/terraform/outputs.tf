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
    secrets = merge({
      "postgres.url"        = { name = "audittrail", key = "postgres-url", remote = { key = "${var.name}/app-database", template = local.database_url } }
      "ledger.signing_key"  = { name = "audittrail-signing", key = "signing-key", roles = ["notary"], remote = { key = "${var.name}/signing-key" } }
      "kafka.sasl.password" = { name = "audittrail-kafka", key = "password", roles = ["ingest", "replay"], remote = { key = module.kafka.scram_secret_name, property = "password" } }
      },
      length(local.replica_urls) == 0 ? {} : {
        "postgres.replica_urls" = { name = "audittrail", key = "postgres-replica-urls", roles = ["api"], remote = { key = "${var.name}/app-database", template = join(",", local.replica_urls) } }
      },
      { for redis in module.redis : "redis.url" => {
        name   = "audittrail-redis", key = "url", roles = ["api"]
        remote = { key = redis.secret_name, template = "rediss://{{ .username | urlquery }}:{{ .password | urlquery }}@${redis.endpoint}" }
      } },
    )
    migration = { grant = "audittrail_app", secret = { name = "audittrail-owner", key = "postgres-url", remote = { key = module.postgres.master_secret_arn, template = local.database_url } } }
  })
}

locals {
  database_urls = [for endpoint in concat([module.postgres.endpoint], module.postgres.replica_endpoints) :
    "postgres://{{ .username | urlquery }}:{{ .password | urlquery }}@${endpoint}/audit?sslmode=verify-full&sslrootcert=/etc/audittrail/authorities/rds.pem"
  ]
  database_url = local.database_urls[0]
  replica_urls = slice(local.database_urls, 1, length(local.database_urls))
}

output "topic_commands" {
  description = "Commands that make the topics. The AWS provider has no resource for them, and brokers make none by themselves."
  value       = module.kafka.topic_commands
}

output "kafka_bootstrap_brokers" {
  value = module.kafka.bootstrap_brokers
}

output "redis_user_command" {
  description = "Command that turns on audittrail's login at Redis; null without Redis."
  value       = one(module.redis[*].user_command)
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
