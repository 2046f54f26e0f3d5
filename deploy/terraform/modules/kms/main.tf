# A key that is rotated every year. Without a policy of its own, who may use it is what IAM says.

variable "name" {
  type = string
}

variable "description" {
  type = string
}

resource "aws_kms_key" "this" {
  description             = var.description
  enable_key_rotation     = true
  deletion_window_in_days = 30

  lifecycle {
    prevent_destroy = true # what it wrapped could never be read again
  }
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

output "arn" {
  value = aws_kms_key.this.arn
}
