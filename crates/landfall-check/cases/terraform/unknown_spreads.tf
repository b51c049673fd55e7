variable "org" {}

variable "subjects" {
  type = list(string)
}

locals {
  prefix = "repo:${var.org}"
}

resource "aws_iam_role" "partly" {
  name = "partly"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringLike   = { "token.actions.githubusercontent.com:sub" = ["${local.prefix}/api:*", "repo:acme/api:*"] }
        StringEquals = { "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com" }
      }
    }]
  })
}

data "aws_iam_policy_document" "listed" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    condition {
      test     = "StringLike"
      variable = "token.actions.githubusercontent.com:sub"
      values   = var.subjects
    }
  }
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    condition {
      test     = "StringEquals"
      variable = "${var.org}:aud"
      values   = ["x"]
    }
  }
}

resource "aws_iam_role" "listed" {
  name               = "listed"
  assume_role_policy = data.aws_iam_policy_document.listed.json
}

resource "aws_iam_role" "whole" {
  name               = "whole"
  assume_role_policy = file("${path.module}/trust.json")
  tags               = { Org = var.org, Plain = "x" }
}

output "decided" {
  value = [false && var.org == "x", contains(["a", local.prefix], "a"), length([var.org])]
}
