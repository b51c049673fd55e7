# Modules of the same repository: with arguments and outputs, counted and keyed, inside one another, and with what
# they hand on of providers; and one that nobody has brought here.
#! file infra/main.tf
provider "aws" {
  region = "eu-central-1"
}

provider "aws" {
  alias  = "us"
  region = "us-east-1"
}

locals {
  teams = { web = "acme/web", api = "acme/api" }
}

module "github" {
  source = "./modules/oidc"
  url    = "https://token.actions.githubusercontent.com"
}

module "role" {
  source     = "./modules/role"
  for_each   = local.teams
  name       = each.key
  repository = each.value
  provider_arn = module.github.arn
}

module "images" {
  source    = "../common/images"
  count     = 2
  name      = "app${count.index}"
  providers = { aws = aws.us }
}

resource "aws_iam_role_policy_attachment" "web" {
  role       = module.role["web"].name
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

module "vendor" {
  source  = "terraform-aws-modules/iam/aws//modules/iam-role"
  version = "6.2.1"
  name    = "vendor"
}

module "elsewhere" {
  source = "github.com/acme/elsewhere"
}

module "wrong" {
  source = "./modules/oidc"
  uri    = "https://gitlab.com"
}

output "roles" {
  value = [for role in module.role : role.arn]
}

output "images" {
  value = module.images[*].url
}

output "one" {
  value = module.images[1].url
}

output "unread" {
  value = module.elsewhere.arn
}

output "undeclared" {
  value = module.github.nothing
}
#! file infra/modules/oidc/main.tf
variable "url" {
  type = string
}

resource "aws_iam_openid_connect_provider" "this" {
  url            = var.url
  client_id_list = ["sts.amazonaws.com"]
}

output "arn" {
  value = aws_iam_openid_connect_provider.this.arn
}
#! file infra/modules/role/main.tf
variable "name" {}
variable "repository" {}
variable "provider_arn" {}
variable "branch" {
  default = "main"
}

module "policy" {
  source = "../policy"
  name   = var.name
}

resource "aws_iam_role" "this" {
  name = var.name
  assume_role_policy = templatefile("${path.module}/trust.json.tftpl", {
    provider = var.provider_arn
    subject  = "repo:${var.repository}:ref:refs/heads/${var.branch}"
  })
}

resource "aws_iam_role_policy_attachment" "own" {
  role       = aws_iam_role.this.name
  policy_arn = module.policy.arn
}

output "name" {
  value = aws_iam_role.this.name
}

output "arn" {
  value = aws_iam_role.this.arn
}
#! file infra/modules/role/trust.json.tftpl
{"Statement": [{
  "Effect": "Allow",
  "Principal": {"Federated": "${provider}"},
  "Action": "sts:AssumeRoleWithWebIdentity",
  "Condition": {"StringEquals": {"token.actions.githubusercontent.com:sub": "${subject}"}}
}]}
#! file infra/modules/policy/main.tf
variable "name" {}

resource "aws_iam_policy" "this" {
  name   = "${var.name}-push"
  policy = file("${path.module}/push.json")
}

output "arn" {
  value = aws_iam_policy.this.arn
}
#! file infra/modules/policy/push.json
{"Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}]}
#! file common/images/main.tf
variable "name" {}

resource "aws_ecr_repository" "this" {
  name = var.name
}

output "url" {
  value = aws_ecr_repository.this.repository_url
}
#! file infra/.terraform/modules/modules.json
{"Modules":[{"Key":"","Source":"","Dir":"."},{"Key":"vendor","Source":"registry.terraform.io/terraform-aws-modules/iam/aws//modules/iam-role","Version":"6.2.1","Dir":".terraform/modules/vendor/modules/iam-role"}]}
#! file infra/.terraform/modules/vendor/modules/iam-role/main.tf
variable "name" {}

resource "aws_iam_role" "this" {
  name               = var.name
  assume_role_policy = jsonencode({ Statement = [] })
}
