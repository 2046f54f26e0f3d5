mock_provider "aws" {}

variables {
  name                    = "test"
  cluster_name            = "test"
  namespace               = "audittrail"
  service_account         = "audittrail"
  secrets_service_account = { namespace = "external-secrets", name = "external-secrets" }
  secret_arns             = { a = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:a", b = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:b" }
  data_key_arn            = "arn:aws:kms:eu-central-1:123456789012:key/data"
  subjects_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/subjects"
  archive_arn             = "arn:aws:s3:::archive"
  kafka_cluster           = null
}

run "least_privilege" {
  command = plan
  module {
    source = "./modules/pods"
  }
  assert {
    condition     = alltrue([for s in jsondecode(aws_iam_role_policy.audittrail.policy).Statement : !contains(s.Resource, "*") && alltrue([for a in s.Action : !strcontains(a, "*")])])
    error_message = "every action and resource must be named"
  }
  assert {
    condition     = length([for s in jsondecode(aws_iam_role_policy.audittrail.policy).Statement : s if anytrue([for a in s.Action : startswith(a, "secretsmanager:") || strcontains(a, "Delete") || startswith(a, "kafka-cluster:")])]) == 0
    error_message = "audittrail itself reads no secrets, deletes nothing, and has no rights at a Kafka that it logs in to by SCRAM"
  }
  assert {
    condition     = toset(one([for s in jsondecode(aws_iam_role_policy.secrets.policy).Statement : s.Resource if s.Sid == "Secrets"])) == toset(values(var.secret_arns))
    error_message = "external-secrets may read exactly our secrets"
  }
  assert {
    condition     = aws_eks_pod_identity_association.audittrail.service_account == "audittrail" && aws_eks_pod_identity_association.audittrail.namespace == "audittrail"
    error_message = "the role is for the chart's service account"
  }
}

run "kafka_by_iam" {
  command = plan
  module {
    source = "./modules/pods"
  }
  variables {
    kafka_cluster = { arn = "arn:aws:kafka:eu-central-1:123456789012:cluster/test/u-u-i-d", topics = ["orders"] }
  }
  assert {
    condition     = one([for s in jsondecode(aws_iam_role_policy.audittrail.policy).Statement : s.Resource if s.Sid == "Read"]) == ["arn:aws:kafka:eu-central-1:123456789012:topic/test/u-u-i-d/orders"]
    error_message = "it reads the topics that it is to ingest"
  }
  assert {
    condition     = one([for s in jsondecode(aws_iam_role_policy.audittrail.policy).Statement : s.Resource if contains(s.Action, "kafka-cluster:WriteData")]) == ["arn:aws:kafka:eu-central-1:123456789012:topic/test/u-u-i-d/orders.dlq"]
    error_message = "it writes to dead-letter topics alone"
  }
}
