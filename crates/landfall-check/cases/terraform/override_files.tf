# Override files are merged argument by argument in the order of their names; a nested block takes the place of all of
# its kind, `dynamic` ones too, and `lifecycle` is merged inside. What is not there can't be overridden.
#! file main.tf
variable "branch" {
  type    = string
  default = "main"
}

variable "repositories" {
  default = ["acme/web"]
}

locals {
  audience = "sts.amazonaws.com"
  owner    = "acme"
}

provider "aws" {
  region = "eu-west-1"
}

provider "aws" {
  alias  = "us"
  region = "us-east-1"
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = ["arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"]
    }
    dynamic "condition" {
      for_each = var.repositories
      content {
        test     = "StringEquals"
        variable = "token.actions.githubusercontent.com:sub"
        values   = ["repo:${condition.value}:ref:refs/heads/${var.branch}"]
      }
    }
  }
}

resource "aws_iam_role" "deploy" {
  count              = 2
  name               = "deploy-${count.index}"
  description        = "takes ${local.audience} of ${local.owner}"
  assume_role_policy = data.aws_iam_policy_document.trust.json

  inline_policy {
    name   = "first"
    policy = jsonencode({ Version = "2012-10-17", Statement = [] })
  }
}

resource "aws_ecr_repository" "app" {
  provider = aws.us
  name     = "app"
}

module "more" {
  source = "./more"
  name   = "base"
}

output "branch" {
  value = var.branch
}
#! file more/main.tf
variable "name" {}
output "name" { value = var.name }
#! file b_override.tf
variable "branch" {
  default = "release"
}

resource "aws_iam_role" "deploy" {
  description = "${local.audience}, ${local.more}"
}

data "aws_iam_policy_document" "trust" {
  statement {
    sid     = "Overridden"
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = ["arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["repo:acme/other:ref:refs/heads/${var.branch}"]
    }
  }
}
#! file override.tf
resource "aws_iam_role" "deploy" {
  for_each = toset(["eu"])
  name     = "deploy-${each.key}"
  dynamic "inline_policy" {
    for_each = ["second"]
    content {
      name   = inline_policy.value
      policy = jsonencode({ Version = "2012-10-17", Statement = [] })
    }
  }
}

provider "aws" {
  alias  = "us"
  region = "us-west-2"
}

module "more" {
  name = "overridden"
}

output "branch" {
  value = "${var.branch} of ${module.more.name}"
}

resource "aws_iam_role" "nowhere" {
  name = "nowhere"
}

moved {
  from = aws_iam_role.old
  to   = aws_iam_role.deploy
}
#! file a_override.tf.json
{
  "locals": { "audience": "another", "more": "new" },
  "variable": { "branch": { "default": "loses" } }
}
