variable "name" {
  type = string
}

variable "cluster_name" {
  type = string
}

variable "namespace" {
  type = string
}

variable "service_account" {
  type = string
}

variable "secrets_service_account" {
  type = object({
    namespace = string
    name      = string
  })
}

variable "secret_arns" {
  description = "Secrets that external-secrets may read, by any name."
  type        = map(string)
}

variable "data_key_arn" {
  type = string
}

variable "subjects_key_arn" {
  type = string
}

variable "archive_arn" {
  type = string
}

variable "kafka_cluster" {
  description = "MSK with IAM: which topics audittrail reads. null: it logs in by SCRAM."
  type = object({
    arn    = string
    topics = list(string)
  })
}
