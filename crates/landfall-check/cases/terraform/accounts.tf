# A provider's account is that of the role which it takes, or the only one that it allows.
provider "aws" {
  region              = "eu-central-1"
  allowed_account_ids = ["111111111111"]
}
provider "aws" {
  alias  = "prod"
  region = "eu-central-1"
  assume_role { role_arn = "arn:aws:iam::222222222222:role/terraform" }
}
data "aws_caller_identity" "dev" {}
data "aws_caller_identity" "prod" { provider = aws.prod }
resource "aws_iam_role" "dev" {
  name               = "deploy"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { AWS = data.aws_caller_identity.prod.account_id }, Action = "sts:AssumeRole" }] })
}
resource "aws_iam_role" "prod" {
  provider           = aws.prod
  name               = "deploy"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { AWS = data.aws_caller_identity.dev.account_id }, Action = "sts:AssumeRole" }] })
}
resource "aws_iam_role_policy" "dev" {
  name   = "dev"
  role   = aws_iam_role.dev.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "ecr:*", Resource = "*" }] })
}
resource "aws_iam_role_policy" "prod" {
  provider = aws.prod
  name     = "prod"
  role     = aws_iam_role.prod.name
  policy   = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "ecs:*", Resource = "*" }] })
}
resource "aws_ecr_repository" "prod" {
  provider = aws.prod
  name     = "web"
}
