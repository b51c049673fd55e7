variable "region" {
  default = "ap-northeast-2"
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { Team = "core", Stage = "prod" }
  }
}

provider "aws" {
  alias  = "china"
  region = "cn-north-1"
}

resource "aws_ecr_repository" "home" {
  name = "home"
  tags = { Stage = "dev" }
}

resource "aws_ecr_repository" "abroad" {
  provider = aws.china
  name     = "abroad"
}

resource "aws_ecr_repository" "own" {
  region = "us-east-1"
  name   = "own"
}

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}
data "aws_iam_role" "given" {
  name = "given"
}
data "aws_iam_openid_connect_provider" "github" {
  url = "https://token.actions.githubusercontent.com"
}
data "aws_ecr_repository" "given" {
  name = "base/image"
}

output "facts" {
  value = [
    data.aws_region.current.name, data.aws_region.current.id, data.aws_region.current.region,
    data.aws_partition.current.partition, data.aws_partition.current.dns_suffix,
    data.aws_caller_identity.current.account_id,
    data.aws_iam_role.given.arn, data.aws_iam_openid_connect_provider.github.arn,
    data.aws_ecr_repository.given.repository_url, data.aws_ecr_repository.given.arn,
    aws_ecr_repository.home.repository_url, aws_ecr_repository.abroad.repository_url,
    aws_ecr_repository.abroad.arn, aws_ecr_repository.own.registry_id,
    "${path.module}/${terraform.workspace}",
  ]
}

output "caller" {
  value = data.aws_caller_identity.current.arn
}
