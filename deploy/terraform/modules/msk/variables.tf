variable "name" {
  type = string
}

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  description = "One in each zone; as many brokers."
  type        = list(string)
}

variable "client_group_id" {
  description = "Security group that may connect."
  type        = string
}

variable "kms_key_arn" {
  type = string
}

variable "kafka_version" {
  type = string
}

variable "instance_type" {
  type = string
}

variable "volume_gib" {
  type = number
}

variable "authentication" {
  description = "scram, iam, or both"
  type        = list(string)
  validation {
    condition     = length(var.authentication) > 0 && length(setsubtract(var.authentication, ["scram", "iam"])) == 0
    error_message = "authentication: scram, iam, or both."
  }
}

variable "username" {
  type = string
}

variable "password" {
  type      = string
  sensitive = true
  ephemeral = true
  validation {
    condition     = !contains(var.authentication, "scram") || try(length(var.password) >= 16, false)
    error_message = "password: give one of at least 16 characters for SCRAM (TF_VAR_kafka_password)."
  }
}

variable "password_version" {
  type = number
}

variable "topics" {
  type = map(object({
    partitions      = number
    retention_hours = number
  }))
}
