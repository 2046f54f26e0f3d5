# Thousands of events a second, and an outage of a zone. The state is shared and locked; its bucket is made beforehand.

terraform {
  backend "s3" {
    # bucket, key and region: terraform init -backend-config=backend.hcl
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { project = "audittrail", stage = "production" }
  }
}

variable "region" {
  type    = string
  default = "eu-central-1"
}

variable "kafka_password" {
  type      = string
  sensitive = true
  ephemeral = true
}

variable "office_cidrs" {
  description = "From where the cluster's API may be reached."
  type        = list(string)
  default     = []
}

module "audittrail" {
  source         = "../.."
  name           = "audittrail-prod"
  kafka_password = var.kafka_password
  cluster        = { instance_types = ["m7g.xlarge"], min_nodes = 3, max_nodes = 9, public_access_cidrs = var.office_cidrs }
  kafka = {
    instance_type = "kafka.m7g.xlarge"
    volume_gib    = 1000
    topics = {
      orders    = { partitions = 12 }
      payments  = { partitions = 12 }
      inventory = { partitions = 6 }
    }
  }
  postgres = { instance_class = "db.r7g.2xlarge", storage_gib = 1000, max_storage_gib = 16000, replicas = 1 }
  redis    = { node_type = "cache.t4g.medium" }
  archive  = { mode = "COMPLIANCE", retention_days = 2555 }
}

output "chart_values" {
  value = module.audittrail.chart_values
}

output "topic_commands" {
  value = module.audittrail.topic_commands
}

output "redis_user_command" {
  value = module.audittrail.redis_user_command
}
