# For a trial, or a few hundred events a second: one NAT gateway, small machines, no standby of the database.

provider "aws" {
  region = var.region
  default_tags {
    tags = { project = "audittrail", stage = "trial" }
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

module "audittrail" {
  source         = "../.."
  name           = "audittrail-trial"
  nat_gateways   = "one"
  kafka_password = var.kafka_password
  cluster        = { instance_types = ["t4g.large"], min_nodes = 2, max_nodes = 3 }
  kafka          = { instance_type = "kafka.t3.small", volume_gib = 50, topics = { orders = {}, payments = {} } }
  postgres       = { instance_class = "db.t4g.medium", storage_gib = 50, max_storage_gib = 200, multi_az = false, backup_days = 7 }
  archive        = { mode = "GOVERNANCE", retention_days = 7 }
}

output "chart_values" {
  value = module.audittrail.chart_values
}

output "topic_commands" {
  value = module.audittrail.topic_commands
}
