variable "name" {
  description = "Prefix of all names, such as audittrail-prod."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name: 3 to 32 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the network that is made."
  type        = string
  default     = "10.42.0.0/16"
}

variable "existing_network" {
  description = "A network that is there already, in place of one that is made."
  type = object({
    vpc_id             = string
    private_subnet_ids = list(string)
  })
  default = null
}

variable "nat_gateways" {
  description = "one: cheap, and an outage of its zone cuts off the others; each: one in each zone."
  type        = string
  default     = "each"
  validation {
    condition     = contains(["one", "each"], var.nat_gateways)
    error_message = "nat_gateways: one or each."
  }
}

variable "existing_cluster" {
  description = "A Kubernetes cluster (EKS with the Pod Identity agent) that is there already, in place of one that is made."
  type = object({
    name              = string
    security_group_id = string
  })
  default = null
}

variable "cluster" {
  description = "The cluster that is made."
  type = object({
    version             = optional(string, "1.34")
    instance_types      = optional(list(string), ["m7g.large"])
    ami_type            = optional(string, "AL2023_ARM_64_STANDARD")
    min_nodes           = optional(number, 3)
    max_nodes           = optional(number, 6)
    public_access_cidrs = optional(list(string), [])
  })
  default = {}
}

variable "kafka" {
  description = "MSK. authentication: scram (what audittrail logs in by), iam, or both."
  type = object({
    version        = optional(string, "3.8.x")
    instance_type  = optional(string, "kafka.m7g.large")
    volume_gib     = optional(number, 500)
    authentication = optional(list(string), ["scram"])
    username       = optional(string, "audittrail")
    topics = optional(map(object({
      partitions      = optional(number, 6)
      retention_hours = optional(number, 168)
    })), {})
  })
  default = {}
}

variable "kafka_password" {
  description = "Password of kafka.username. It is written to the secret, and is in no plan and no state. Raise kafka_password_version when it changes."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
}

variable "kafka_password_version" {
  description = "Raise it to write kafka_password again."
  type        = number
  default     = 1
}

variable "postgres" {
  description = "RDS for PostgreSQL."
  type = object({
    version             = optional(string, "17")
    instance_class      = optional(string, "db.m7g.large")
    storage_gib         = optional(number, 200)
    max_storage_gib     = optional(number, 2000)
    multi_az            = optional(bool, true)
    backup_days         = optional(number, 35)
    deletion_protection = optional(bool, true)
    parameters          = optional(map(string), {})

    replicas               = optional(number, 0)
    replica_instance_class = optional(string)
  })
  default = {}
}

variable "redis" {
  description = "ElastiCache, for limits and a cache that several processes with the API share. null: none."
  type = object({
    version   = optional(string, "7.1")
    node_type = optional(string, "cache.t4g.small")
    nodes     = optional(number, 2)
  })
  default = null
}

variable "archive" {
  description = "S3 bucket with object lock, for exports, evidence and archives that nobody may change. retention_days is in force from the moment that an object is written; mode COMPLIANCE binds even the account's root user."
  type = object({
    mode           = optional(string, "COMPLIANCE")
    retention_days = optional(number, 365)
  })
  default = {}
  validation {
    condition     = contains(["COMPLIANCE", "GOVERNANCE"], var.archive.mode)
    error_message = "archive.mode: COMPLIANCE or GOVERNANCE."
  }
}

variable "namespace" {
  description = "Kubernetes namespace of audittrail."
  type        = string
  default     = "audittrail"
}

variable "secrets_service_account" {
  description = "Service account of external-secrets, as namespace and name, which may read audittrail's secrets."
  type = object({
    namespace = string
    name      = string
  })
  default = { namespace = "external-secrets", name = "external-secrets" }
}
