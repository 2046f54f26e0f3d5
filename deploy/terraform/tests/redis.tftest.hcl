mock_provider "aws" {}

variables {
  name            = "test"
  vpc_id          = "vpc-1"
  subnet_ids      = ["a", "b", "c"]
  client_group_id = "sg-1"
  kms_key_arn     = "arn:aws:kms:eu-central-1:123456789012:key/1"
  engine_version  = "7.1"
  node_type       = "cache.t4g.small"
  nodes           = 2
}

run "safe" {
  command = plan
  module {
    source = "./modules/redis"
  }
  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required"
    error_message = "plain text must be refused"
  }
  assert {
    condition     = aws_elasticache_replication_group.this.at_rest_encryption_enabled == "true" && aws_elasticache_replication_group.this.kms_key_id == var.kms_key_arn
    error_message = "the disks must be encrypted by our key"
  }
  assert {
    condition     = toset(aws_elasticache_subnet_group.this.subnet_ids) == toset(var.subnet_ids) && aws_elasticache_replication_group.this.subnet_group_name == var.name
    error_message = "it is in the private subnets"
  }
  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients.from_port == 6379 && aws_vpc_security_group_ingress_rule.clients.cidr_ipv4 == null
    error_message = "only pods may connect"
  }
  assert {
    condition     = aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.multi_az_enabled
    error_message = "the second node takes over in another zone"
  }
}

run "one_login_that_may_little" {
  command = plan
  module {
    source = "./modules/redis"
  }
  assert {
    condition     = aws_elasticache_user_group.this.user_ids == toset(["test-default", "test-app"]) && aws_elasticache_replication_group.this.user_group_ids == toset(["test"])
    error_message = "the group has our login and the one that must be there"
  }
  assert {
    condition     = aws_elasticache_user.default.access_string == "off ~* -@all"
    error_message = "nobody may log in as default"
  }
  assert {
    condition     = aws_elasticache_user.audittrail.access_string == "off ~audittrail:* -@all +@connection +@read +@write +@transaction +@scripting +time -@dangerous" && aws_elasticache_user.audittrail.passwords == null
    error_message = "our login may touch our keys alone, and has no password in the state"
  }
  assert {
    condition     = strcontains(output.user_command, "'on ~audittrail:* -@all") && strcontains(output.user_command, "get-secret-value --secret-id test/redis")
    error_message = "the command turns the login on, by the secret's password"
  }
}

run "one_node" {
  command = plan
  module {
    source = "./modules/redis"
  }
  variables {
    nodes = 1
  }
  assert {
    condition     = !aws_elasticache_replication_group.this.automatic_failover_enabled && !aws_elasticache_replication_group.this.multi_az_enabled
    error_message = "ElastiCache refuses failover without a second node"
  }
}

run "another_family_is_refused" {
  command = plan
  module {
    source = "./modules/redis"
  }
  variables {
    engine_version = "6.2"
  }
  expect_failures = [var.engine_version]
}
