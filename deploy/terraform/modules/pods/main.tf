# What pods may do at AWS, by EKS Pod Identity: audittrail itself, and external-secrets on its behalf.

locals {
  trust = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = ["sts:AssumeRole", "sts:TagSession"], Principal = { Service = "pods.eks.amazonaws.com" } }] })

  # arn:aws:kafka:REGION:ACCOUNT:cluster/NAME/UUID, of which topics and groups are named by kind.
  kafka = var.kafka_cluster == null ? "" : var.kafka_cluster.arn
  kafka_statements = var.kafka_cluster == null ? [] : [
    { Sid = "Connect", Effect = "Allow", Action = ["kafka-cluster:Connect", "kafka-cluster:DescribeCluster"], Resource = [local.kafka] },
    {
      Sid      = "Read", Effect = "Allow", Action = ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"]
      Resource = [for topic in var.kafka_cluster.topics : "${replace(local.kafka, ":cluster/", ":topic/")}/${topic}"]
    },
    {
      Sid      = "DeadLetters", Effect = "Allow", Action = ["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"]
      Resource = [for topic in var.kafka_cluster.topics : "${replace(local.kafka, ":cluster/", ":topic/")}/${topic}.dlq"]
    },
    {
      Sid      = "Group", Effect = "Allow", Action = ["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"]
      Resource = ["${replace(local.kafka, ":cluster/", ":group/")}/audittrail"]
    },
  ]
}

resource "aws_iam_role" "audittrail" {
  name               = "${var.name}-audittrail"
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy" "audittrail" {
  name = "audittrail"
  role = aws_iam_role.audittrail.id
  policy = jsonencode({ Version = "2012-10-17", Statement = concat([
    # Wraps and opens the data keys of subjects. It can't be used to change or delete the key.
    { Sid = "SubjectKeys", Effect = "Allow", Action = ["kms:Encrypt", "kms:Decrypt"], Resource = [var.subjects_key_arn] },
    { Sid = "Archive", Effect = "Allow", Action = ["s3:PutObject", "s3:GetObject"], Resource = ["${var.archive_arn}/*"] },
    { Sid = "ArchiveList", Effect = "Allow", Action = ["s3:ListBucket"], Resource = [var.archive_arn] },
    { Sid = "ArchiveKey", Effect = "Allow", Action = ["kms:GenerateDataKey", "kms:Decrypt"], Resource = [var.data_key_arn], Condition = { StringLike = { "kms:ViaService" = "s3.*.amazonaws.com" } } },
  ], local.kafka_statements) })
}

resource "aws_eks_pod_identity_association" "audittrail" {
  cluster_name    = var.cluster_name
  namespace       = var.namespace
  service_account = var.service_account
  role_arn        = aws_iam_role.audittrail.arn
}

resource "aws_iam_role" "secrets" {
  name               = "${var.name}-secrets"
  assume_role_policy = local.trust
}

resource "aws_iam_role_policy" "secrets" {
  name = "read-secrets"
  role = aws_iam_role.secrets.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [
    { Sid = "Secrets", Effect = "Allow", Action = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], Resource = values(var.secret_arns) },
    { Sid = "SecretsKey", Effect = "Allow", Action = ["kms:Decrypt"], Resource = [var.data_key_arn], Condition = { StringLike = { "kms:ViaService" = "secretsmanager.*.amazonaws.com" } } },
  ] })
}

resource "aws_eks_pod_identity_association" "secrets" {
  cluster_name    = var.cluster_name
  namespace       = var.secrets_service_account.namespace
  service_account = var.secrets_service_account.name
  role_arn        = aws_iam_role.secrets.arn
}
