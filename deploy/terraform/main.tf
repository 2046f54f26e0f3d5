# Cloud resources that audittrail needs, in one AWS region. Each module also works by itself.

locals {
  network = var.existing_network != null ? var.existing_network : {
    vpc_id             = module.network[0].vpc_id
    private_subnet_ids = module.network[0].private_subnet_ids
  }
  cluster = var.existing_cluster != null ? var.existing_cluster : {
    name              = module.eks[0].name
    security_group_id = module.eks[0].security_group_id
  }
}

module "network" {
  source       = "./modules/network"
  count        = var.existing_network == null ? 1 : 0
  name         = var.name
  cidr         = var.vpc_cidr
  nat_gateways = var.nat_gateways
}

# Two keys: who may use the one for disks and secrets can't open what subjects' keys are wrapped with.
module "data_key" {
  source      = "./modules/kms"
  name        = "${var.name}-data"
  description = "Disks, topics, backups and secrets of ${var.name}"
}

module "subjects_key" {
  source      = "./modules/kms"
  name        = "${var.name}-subjects"
  description = "Key-encryption key of the data keys of ${var.name}'s subjects (encryption.kek_url)"
}

module "eks" {
  source              = "./modules/eks"
  count               = var.existing_cluster == null ? 1 : 0
  name                = var.name
  kubernetes_version  = var.cluster.version
  subnet_ids          = local.network.private_subnet_ids
  instance_types      = var.cluster.instance_types
  ami_type            = var.cluster.ami_type
  min_nodes           = var.cluster.min_nodes
  max_nodes           = var.cluster.max_nodes
  public_access_cidrs = var.cluster.public_access_cidrs
  kms_key_arn         = module.data_key.arn
}

module "kafka" {
  source           = "./modules/msk"
  name             = var.name
  vpc_id           = local.network.vpc_id
  subnet_ids       = local.network.private_subnet_ids
  client_group_id  = local.cluster.security_group_id
  kms_key_arn      = module.data_key.arn
  kafka_version    = var.kafka.version
  instance_type    = var.kafka.instance_type
  volume_gib       = var.kafka.volume_gib
  authentication   = var.kafka.authentication
  username         = var.kafka.username
  password         = var.kafka_password
  password_version = var.kafka_password_version
  topics           = var.kafka.topics
}

module "postgres" {
  source              = "./modules/postgres"
  name                = var.name
  vpc_id              = local.network.vpc_id
  subnet_ids          = local.network.private_subnet_ids
  client_group_id     = local.cluster.security_group_id
  kms_key_arn         = module.data_key.arn
  engine_version      = var.postgres.version
  instance_class      = var.postgres.instance_class
  storage_gib         = var.postgres.storage_gib
  max_storage_gib     = var.postgres.max_storage_gib
  multi_az            = var.postgres.multi_az
  backup_days         = var.postgres.backup_days
  deletion_protection = var.postgres.deletion_protection
  parameters          = var.postgres.parameters

  replicas               = var.postgres.replicas
  replica_instance_class = var.postgres.replica_instance_class
}

module "redis" {
  source          = "./modules/redis"
  count           = var.redis == null ? 0 : 1
  name            = var.name
  vpc_id          = local.network.vpc_id
  subnet_ids      = local.network.private_subnet_ids
  client_group_id = local.cluster.security_group_id
  kms_key_arn     = module.data_key.arn
  engine_version  = var.redis.version
  node_type       = var.redis.node_type
  nodes           = var.redis.nodes
}

module "archive" {
  source         = "./modules/archive"
  name           = var.name
  kms_key_arn    = module.data_key.arn
  mode           = var.archive.mode
  retention_days = var.archive.retention_days
}

# What audittrail's Secrets in Kubernetes are made from. Their values are put in by people, not by Terraform: they would
# be in its state.
resource "aws_secretsmanager_secret" "this" {
  for_each                = toset(["app-database", "signing-key"])
  name                    = "${var.name}/${each.key}"
  description             = { app-database = "Login that audittrail serve uses: {\"username\", \"password\"}", signing-key = "Signing key of the ledger; only the notary gets it" }[each.key]
  kms_key_id              = module.data_key.arn
  recovery_window_in_days = 30
}

module "pods" {
  source                  = "./modules/pods"
  name                    = var.name
  cluster_name            = local.cluster.name
  namespace               = var.namespace
  service_account         = "audittrail"
  secrets_service_account = var.secrets_service_account
  secret_arns = merge(
    { for name, secret in aws_secretsmanager_secret.this : name => secret.arn },
    { owner-database = module.postgres.master_secret_arn },
    contains(var.kafka.authentication, "scram") ? { kafka = module.kafka.scram_secret_arn } : {},
    { for redis in module.redis : "redis" => redis.secret_arn },
  )
  data_key_arn     = module.data_key.arn
  subjects_key_arn = module.subjects_key.arn
  archive_arn      = module.archive.arn
  kafka_cluster    = contains(var.kafka.authentication, "iam") ? { arn = module.kafka.arn, topics = keys(var.kafka.topics) } : null
}
