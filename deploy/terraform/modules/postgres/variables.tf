variable "name" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "client_group_id" {
  description = "Security group that may connect."
  type        = string
}

variable "kms_key_arn" {
  type = string
}

variable "engine_version" {
  type = string
  validation {
    condition     = tonumber(split(".", var.engine_version)[0]) >= 15
    error_message = "engine_version: audittrail needs PostgreSQL 15 or later."
  }
}

variable "instance_class" {
  type = string
}

variable "storage_gib" {
  type = number
}

variable "max_storage_gib" {
  type = number
}

variable "multi_az" {
  type = bool
}

variable "backup_days" {
  type = number
  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "backup_days: 1 to 35; without backups there is no restore to a moment."
  }
}

variable "deletion_protection" {
  type = bool
}

variable "parameters" {
  description = "Further settings of the server, or other values of ours."
  type        = map(string)
}

variable "replicas" {
  description = "Read replicas."
  type        = number
  validation {
    condition     = var.replicas >= 0 && var.replicas <= 15
    error_message = "replicas: 0 to 15."
  }
}

variable "replica_instance_class" {
  description = "null: as the primary."
  type        = string
}
