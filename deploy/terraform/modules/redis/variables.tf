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
    condition     = startswith(var.engine_version, "7.")
    error_message = "engine_version: a Redis 7, since the parameters are of its family."
  }
}

variable "node_type" {
  type = string
}

variable "nodes" {
  description = "More than one: the others stand by, in other zones."
  type        = number
  validation {
    condition     = var.nodes >= 1 && var.nodes <= 6
    error_message = "nodes: 1 to 6."
  }
}
