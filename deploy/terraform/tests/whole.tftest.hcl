# The modules together, with what is made and with what is there already.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["z-a", "z-b", "z-c"] }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-central-1" }
  }
}

variables {
  name           = "audittrail-test"
  kafka_password = "a-password-of-many-letters"
  kafka          = { topics = { orders = {}, payments = {} } }
}

run "everything_is_made" {
  command = plan
  assert {
    condition     = length(module.network) == 1 && length(module.eks) == 1
    error_message = "a network and a cluster are made"
  }
  assert {
    condition     = length(output.topic_commands) == 4
    error_message = "two topics, and their dead letters"
  }
}

run "into_what_is_there" {
  command = plan
  variables {
    existing_network = { vpc_id = "vpc-1", private_subnet_ids = ["a", "b", "c"] }
    existing_cluster = { name = "shared", security_group_id = "sg-1" }
  }
  assert {
    condition     = length(module.network) == 0 && length(module.eks) == 0 && output.cluster_name == "shared"
    error_message = "nothing that is there is made again"
  }
}

run "the_name_must_fit_everywhere" {
  command = plan
  variables {
    name = "Audit_Trail"
  }
  expect_failures = [var.name]
}

run "an_open_cluster_is_refused" {
  command = plan
  module {
    source = "./modules/eks"
  }
  variables {
    kubernetes_version  = "1.34"
    subnet_ids          = ["a", "b", "c"]
    instance_types      = ["m7g.large"]
    ami_type            = "AL2023_ARM_64_STANDARD"
    min_nodes           = 2
    max_nodes           = 3
    public_access_cidrs = ["0.0.0.0/0"]
    kms_key_arn         = "arn:aws:kms:eu-central-1:123456789012:key/1"
  }
  expect_failures = [var.public_access_cidrs]
}
