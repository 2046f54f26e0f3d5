mock_provider "aws" {}

variables {
  name                = "test"
  vpc_id              = "vpc-1"
  subnet_ids          = ["a", "b", "c"]
  client_group_id     = "sg-1"
  kms_key_arn         = "arn:aws:kms:eu-central-1:123456789012:key/1"
  engine_version      = "17.6"
  instance_class      = "db.m7g.large"
  storage_gib         = 200
  max_storage_gib     = 2000
  multi_az            = true
  backup_days         = 35
  deletion_protection = true
  parameters          = {}

  replicas               = 0
  replica_instance_class = null
}

run "safe" {
  command = plan
  module {
    source = "./modules/postgres"
  }
  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == var.kms_key_arn
    error_message = "the disks must be encrypted by our key"
  }
  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot
    error_message = "the database must be private and hard to lose"
  }
  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null
    error_message = "the master's password must be RDS's to make, so that no state has it"
  }
  assert {
    condition     = { for p in aws_db_parameter_group.this.parameter : p.name => p.value }["rds.force_ssl"] == "1"
    error_message = "plain text must be refused"
  }
  assert {
    condition     = { for p in aws_db_parameter_group.this.parameter : p.name => p.value }["synchronous_commit"] == "on"
    error_message = "what was acknowledged must not be lost"
  }
  assert {
    condition     = aws_db_parameter_group.this.family == "postgres17"
    error_message = "the parameter group must be of the engine's major version"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients.from_port == 5432 && aws_vpc_security_group_ingress_rule.clients.cidr_ipv4 == null
    error_message = "only pods may connect"
  }
}

run "own_parameters" {
  command = plan
  module {
    source = "./modules/postgres"
  }
  variables {
    parameters = { max_locks_per_transaction = "512", log_min_duration_statement = "1000" }
  }
  assert {
    condition     = { for p in aws_db_parameter_group.this.parameter : p.name => p.value }["max_locks_per_transaction"] == "512"
    error_message = "a parameter that is given counts before ours"
  }
}

run "an_old_version_is_refused" {
  command = plan
  module {
    source = "./modules/postgres"
  }
  variables {
    engine_version = "14.9"
  }
  expect_failures = [var.engine_version]
}

run "without_backups_it_is_refused" {
  command = plan
  module {
    source = "./modules/postgres"
  }
  variables {
    backup_days = 0
  }
  expect_failures = [var.backup_days]
}

run "replicas" {
  command = plan
  module {
    source = "./modules/postgres"
  }
  variables {
    replicas = 2
  }
  assert {
    condition     = length(aws_db_instance.replica) == 2 && length(output.replica_endpoints) == 2
    error_message = "two are made"
  }
  assert {
    condition     = alltrue([for r in aws_db_instance.replica : r.replicate_source_db == "test" && r.instance_class == "db.m7g.large" && r.storage_encrypted && !r.publicly_accessible && r.deletion_protection])
    error_message = "they follow the primary, and are as private"
  }
  assert {
    condition     = { for p in aws_db_parameter_group.this.parameter : p.name => p.value }["hot_standby_feedback"] == "1"
    error_message = "long reads of replicas must not be ended"
  }
}

run "smaller_replicas" {
  command = plan
  module {
    source = "./modules/postgres"
  }
  variables {
    replicas               = 1
    replica_instance_class = "db.t4g.large"
  }
  assert {
    condition     = aws_db_instance.replica[0].instance_class == "db.t4g.large"
    error_message = "a replica's class may be another"
  }
}
