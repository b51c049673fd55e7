resource "aws_iam_role" "deploy" {
  name               = var.nmae
  assume_role_policy = data.aws_iam_policy_document.trusts.json
}

variable "name" {
  default = "deploy"
}

data "aws_iam_policy_document" "trust" {}

resource "aws_iam_role" "no_trust" {
  name = local.nothing
}

resource "aws_iam_role_policy_attachment" "a" {
  role       = aws_iam_role.absent.name
  policy_arn = module.absent.arn
}

resource "aws_ecr_repository" "nameless" {
}

resource "aws_iam_role" "deploy" {
  name               = "second"
  assume_role_policy = "{}"
}

locals {
  a = local.b
  b = [local.c]
  c = local.a
  d = nofunction(1)
  e = md5("x")
  f = lookup({ a = 1 }, "b")
  g = { a = 1 }.b
  h = each.key
  i = "x" + 1
  j = regex("(", "x")
  k = "${["a"]} b"
  l = foo
}

output "all" {
  value = [local.a, local.d, local.e, local.f, local.g, local.h, local.i, local.j, local.k, local.l]
}

output "empty" {}

resource "aws_iam_role" {
}

module "oidc" {
  source = "terraform-aws-modules/iam/aws//modules/iam-github-oidc-role"
}

output "role" {
  value = module.oidc.arn
}
