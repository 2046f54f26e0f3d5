output "endpoint" {
  description = "host:port"
  value       = aws_db_instance.this.endpoint
}

output "replica_endpoints" {
  description = "host:port of each read replica"
  value       = aws_db_instance.replica[*].endpoint
}

output "master_secret_arn" {
  description = "Secret of the login that migrates: {\"username\", \"password\"}. RDS makes and rotates it."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}
