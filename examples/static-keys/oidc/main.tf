provider "aws" {
  region = "ap-northeast-2"
}

resource "aws_ecr_repository" "web" {
  name = "web"
}

resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

# Every job of every repository of one owner: a pattern, so it has to stand under StringLike.
data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.github.arn]
    }

    condition {
      test     = "StringLike"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["repo:acme/*:*"]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "ci" {
  name               = "github-action-role"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

# The permissions that the user had, word for word.
data "aws_iam_policy_document" "push" {
  statement {
    actions = [
      "ecr:GetAuthorizationToken",
      "ecr:BatchCheckLayerAvailability",
      "ecr:GetDownloadUrlForLayer",
      "ecr:BatchGetImage",
      "ecr:InitiateLayerUpload",
      "ecr:UploadLayerPart",
      "ecr:CompleteLayerUpload",
      "ecr:PutImage",
    ]
    resources = ["*"]
  }
}

resource "aws_iam_policy" "push" {
  name   = "github-action-policy"
  policy = data.aws_iam_policy_document.push.json
}

resource "aws_iam_role_policy_attachment" "push" {
  role       = aws_iam_role.ci.name
  policy_arn = aws_iam_policy.push.arn
}
