variable "subjects" {
  default = {
    "StringLike"   = ["repo:acme/*:*"]
    "StringEquals" = ["repo:acme/api:ref:refs/heads/main", "repo:acme/api:environment:prod"]
  }
}

variable "extra" {
  type = list(string)
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]
    dynamic "principals" {
      for_each = ["arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"]
      content {
        type        = "Federated"
        identifiers = [principals.value]
      }
    }
    dynamic "condition" {
      for_each = var.subjects
      iterator = it
      content {
        test     = it.key
        variable = "token.actions.githubusercontent.com:sub"
        values   = it.value
      }
    }
  }
  dynamic "statement" {
    for_each = var.extra
    content {
      actions = [statement.value]
    }
  }
}

resource "aws_iam_role" "r" {
  name               = "r"
  assume_role_policy = data.aws_iam_policy_document.trust.json

  inline_policy {
    name   = "inline"
    policy = jsonencode({ Version = "2012-10-17", Statement = [] })
  }
  inline_policy {}
  managed_policy_arns = ["arn:aws:iam::aws:policy/ReadOnlyAccess"]
  lifecycle {
    ignore_changes = [tags]
  }
}
