#! var branches=["main", "release/*"]
#! var session=7200
#! file main.tf
variable "github_org" {
  type = string
}

variable "branches" {
  type = list(string)
}

variable "session" {
  type = number
}

variable "roles" {
  type = map(object({
    repo    = string
    path    = optional(string, "/ci/")
    enabled = optional(bool)
  }))
}

variable "stage" {
  type    = string
  default = "prod"
}

locals {
  issuer   = "token.actions.githubusercontent.com"
  subjects = [for branch in var.branches : "repo:${var.github_org}/api:ref:refs/heads/${branch}"]
  by_repo  = { for name, role in var.roles : role.repo => upper(name)... if role.enabled != false }
  name     = format("%s-%s-%03d", var.stage, "deploy", 7)
}

resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://${local.issuer}"
  client_id_list = toset(["sts.amazonaws.com", "https://github.com/${var.github_org}", "sts.amazonaws.com"])
}

resource "aws_iam_role" "deploy" {
  for_each             = var.roles
  name                 = "${local.name}-${each.key}"
  path                 = each.value.path
  max_session_duration = var.session
  permissions_boundary = "arn:aws:iam::123456789012:policy/boundary"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
      Condition = {
        StringLike   = { "${local.issuer}:sub" = local.subjects }
        StringEquals = { "${local.issuer}:aud" = "sts.amazonaws.com" }
      }
    }]
  })
  tags = merge({ Stage = var.stage }, { Repo = each.value.repo })
}

output "by_repo" {
  value = local.by_repo
}

output "role_arns" {
  value = { for key, role in aws_iam_role.deploy : key => role.arn }
}

output "first" {
  value = values(aws_iam_role.deploy)[*].name
}
#! file terraform.tfvars
github_org = "shadowed"
roles = {
  web = { repo = "acme/web" }
}
#! file a.auto.tfvars
github_org = "acme"
roles = {
  web   = { repo = "acme/web", enabled = true }
  batch = { repo = "acme/batch", path = "/", enabled = false }
}
unused = 1
#! file other.tfvars
github_org = "never read"
