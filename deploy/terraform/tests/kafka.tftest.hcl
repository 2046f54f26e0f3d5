mock_provider "aws" {}

variables {
  name             = "test"
  vpc_id           = "vpc-1"
  subnet_ids       = ["a", "b", "c"]
  client_group_id  = "sg-1"
  kms_key_arn      = "arn:aws:kms:eu-central-1:123456789012:key/1"
  kafka_version    = "3.8.x"
  instance_type    = "kafka.m7g.large"
  volume_gib       = 100
  authentication   = ["scram"]
  username         = "audittrail"
  password         = "a-password-of-many-letters"
  password_version = 1
  topics           = { orders = { partitions = 12, retention_hours = 24 } }
}

run "scram" {
  command = plan
  module {
    source = "./modules/msk"
  }
  assert {
    condition     = aws_msk_cluster.this.encryption_info[0].encryption_in_transit[0].client_broker == "TLS"
    error_message = "brokers must take TLS alone"
  }
  assert {
    condition     = !aws_msk_cluster.this.client_authentication[0].unauthenticated && aws_msk_cluster.this.client_authentication[0].sasl[0].scram && !aws_msk_cluster.this.client_authentication[0].sasl[0].iam
    error_message = "only those who log in by SCRAM may connect"
  }
  assert {
    condition     = alltrue([for line in ["min.insync.replicas=2", "unclean.leader.election.enable=false", "auto.create.topics.enable=false"] : strcontains(aws_msk_configuration.this.server_properties, line)])
    error_message = "an acknowledged record must not be lost"
  }
  assert {
    condition     = aws_secretsmanager_secret_version.scram[0].secret_string == null && startswith(aws_secretsmanager_secret.scram[0].name, "AmazonMSK_")
    error_message = "the password must not be in the state, and MSK wants this beginning of the name"
  }
  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.clients) == ["scram"] && aws_vpc_security_group_ingress_rule.clients["scram"].from_port == 9096
    error_message = "only the port of SCRAM is open"
  }
  assert {
    condition     = length(output.topic_commands) == 2 && strcontains(join("\n", output.topic_commands), "--topic orders --partitions 12") && strcontains(join("\n", output.topic_commands), "--topic orders.dlq --partitions 1")
    error_message = "a topic and the one for its dead letters"
  }
}

run "iam" {
  command = plan
  module {
    source = "./modules/msk"
  }
  variables {
    authentication = ["iam"]
    password       = null
  }
  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.clients) == ["iam"] && length(aws_secretsmanager_secret.scram) == 0
    error_message = "no secret, and only the port of IAM is open"
  }
}

run "a_short_password_is_refused" {
  command = plan
  module {
    source = "./modules/msk"
  }
  variables {
    password = "short"
  }
  expect_failures = [var.password]
}

run "another_way_to_log_in_is_refused" {
  command = plan
  module {
    source = "./modules/msk"
  }
  variables {
    authentication = ["plain"]
  }
  expect_failures = [var.authentication]
}
