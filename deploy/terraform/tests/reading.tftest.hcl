# What is there for reading alone, and that the chart is given it.

mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { region = "eu-central-1" }
  }
}

# The chart's values name these, which a plan does not know.
override_module {
  target          = module.kafka
  override_during = plan
  outputs         = { arn = "arn:kafka", bootstrap_brokers = "b-1:9096,b-2:9096", scram_secret_arn = "arn:scram", scram_secret_name = "scram", topic_commands = [] }
}
override_resource {
  target          = module.postgres.aws_db_instance.this
  override_during = plan
  values          = { endpoint = "db.example.com:5432", master_user_secret = [{ secret_arn = "arn:rds", secret_status = "active", kms_key_id = "key" }] }
}
override_resource {
  target          = module.postgres.aws_db_instance.replica
  override_during = plan
  values          = { endpoint = "replica.example.com:5432" }
}
override_resource {
  target          = module.redis[0].aws_elasticache_replication_group.this
  override_during = plan
  values          = { primary_endpoint_address = "redis.example.com" }
}

variables {
  name             = "audittrail-test"
  kafka_password   = "a-password-of-many-letters"
  kafka            = { topics = { orders = {}, payments = {} } }
  existing_network = { vpc_id = "vpc-1", private_subnet_ids = ["a", "b", "c"] }
  existing_cluster = { name = "shared", security_group_id = "sg-1" }
}

run "replicas_and_redis" {
  command = plan
  variables {
    postgres = { replicas = 2 }
    redis    = {}
  }
  assert {
    condition     = length(split("@replica.example.com:5432/audit?sslmode=verify-full", yamldecode(output.chart_values).secrets["postgres.replica_urls"].remote.template)) == 3
    error_message = "the chart is given both replicas"
  }
  assert {
    condition     = can(regex("^rediss://.*@redis.example.com:6379$", yamldecode(output.chart_values).secrets["redis.url"].remote.template)) && yamldecode(output.chart_values).secrets["redis.url"].roles == ["api"]
    error_message = "the API reaches Redis by TLS, and nobody else has its password"
  }
  assert {
    condition     = length(module.redis) == 1 && output.redis_user_command != null
    error_message = "Redis is made, and a command turns its login on"
  }
}

run "none_unless_asked_for" {
  command = plan
  assert {
    condition     = length(module.redis) == 0 && output.redis_user_command == null && toset(keys(yamldecode(output.chart_values).secrets)) == toset(["postgres.url", "ledger.signing_key", "kafka.sasl.password"])
    error_message = "neither replicas nor Redis cost anything unless they are asked for"
  }
}
