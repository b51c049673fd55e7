# Who names a provider by its ARN knows that it is there; another account's is nobody's here.
variable "provider_arn" { default = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
data "aws_caller_identity" "me" {}
resource "aws_iam_openid_connect_provider" "own" {
  url            = "https://own.example.com"
  client_id_list = ["own"]
}
resource "aws_iam_role" "given" {
  name               = "given"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { Federated = var.provider_arn }, Action = "sts:AssumeRoleWithWebIdentity" }] })
}
resource "aws_iam_role" "made_up" {
  name = "made-up"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Effect = "Allow"
    Principal = { Federated = [
      "arn:aws:iam::${data.aws_caller_identity.me.account_id}:oidc-provider/gitlab.example.com",
      "arn:aws:iam::${data.aws_caller_identity.me.account_id}:oidc-provider/own.example.com",
      "arn:aws:iam::999999999999:oidc-provider/other.example.com",
      "accounts.google.com",
    ] }
    Action    = "sts:AssumeRoleWithWebIdentity"
    Condition = { StringEquals = { "gitlab.example.com:aud" = "sts" } }
  }] })
}
