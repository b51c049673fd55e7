# The provider keeps the URL as IAM gives it back: without its scheme.
resource "aws_iam_openid_connect_provider" "gitlab" {
  url            = "https://gitlab.example.com"
  client_id_list = ["https://gitlab.example.com"]
}
data "aws_iam_openid_connect_provider" "github" {
  url = "https://token.actions.githubusercontent.com"
}
data "aws_iam_openid_connect_provider" "by_arn" {
  arn = "arn:aws:iam::123456789012:oidc-provider/idp.example.com/a"
}
resource "aws_iam_role" "deploy" {
  name = "deploy"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Effect    = "Allow"
    Principal = { Federated = aws_iam_openid_connect_provider.gitlab.arn }
    Action    = "sts:AssumeRoleWithWebIdentity"
    Condition = { StringLike = {
      "${aws_iam_openid_connect_provider.gitlab.url}:sub"      = "project_path:acme/*"
      "${data.aws_iam_openid_connect_provider.github.url}:sub" = "repo:acme/*"
      "${data.aws_iam_openid_connect_provider.by_arn.url}:sub" = "a"
    } }
  }] })
}
