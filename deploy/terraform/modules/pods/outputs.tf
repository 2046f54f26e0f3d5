output "audittrail_role_arn" {
  value = aws_iam_role.audittrail.arn
}

output "secrets_role_arn" {
  value = aws_iam_role.secrets.arn
}
