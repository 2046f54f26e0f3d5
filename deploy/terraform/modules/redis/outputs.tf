output "endpoint" {
  description = "host:port, by TLS"
  value       = "${aws_elasticache_replication_group.this.primary_endpoint_address}:6379"
}

output "secret_arn" {
  value = aws_secretsmanager_secret.this.arn
}

output "secret_name" {
  value = aws_secretsmanager_secret.this.name
}

output "user_command" {
  description = "Gives the login the password of the secret, and turns it on. Run it once the secret has a value, and after each change of it. ElastiCache wants 16 to 128 characters, without , \" / @ and spaces."
  value = join(" ", [
    "aws elasticache modify-user --user-id ${aws_elasticache_user.audittrail.user_id} --access-string 'on ${local.rights}'",
    "--authentication-mode \"Type=password,Passwords=$(aws secretsmanager get-secret-value --secret-id ${aws_secretsmanager_secret.this.name} --query SecretString --output text | jq -r .password)\"",
  ])
}
