data "aws_iam_policy_document" "base" {
  statement {
    sid       = "Read"
    actions   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
    resources = ["arn:aws:ecr:*:*:repository/&{aws:PrincipalTag/team}/*"]
  }
  statement {
    sid       = "Kept"
    actions   = ["s3:GetObject"]
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "override" {
  policy_id = "overridden"
  statement {
    sid           = "Own"
    effect        = "Deny"
    actions       = ["*"]
    not_resources = ["arn:aws:s3:::a", "arn:aws:s3:::b"]
  }
  statement {
    actions   = ["sqs:*"]
    resources = []
  }
}

data "aws_iam_policy_document" "all" {
  source_policy_documents = [
    data.aws_iam_policy_document.base.json,
    jsonencode({
      Version = "2008-10-17"
      Statement = {
        Sid       = "Foreign"
        Effect    = "Allow"
        Action    = "s3:*"
        Principal = "*"
        Condition = { Bool = { "aws:SecureTransport" = true }, NumericLessThan = { "s3:max-keys" = 10 } }
      }
    }),
    null,
  ]
  override_policy_documents = [data.aws_iam_policy_document.override.json]

  statement {
    sid       = "Read"
    actions   = ["ecr:DescribeImages"]
    resources = ["*"]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/a"
      values   = ["1"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/a"
      values   = ["3", "2", "&{aws:username}"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = [true]
    }
  }

  statement {
    sid     = "Own"
    actions = ["iam:PassRole"]
  }

  statement {
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    actions = ["a:b"]
  }

  statement {
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com", "ec2.amazonaws.com"]
    }
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
    not_actions = ["a:b"]
  }
}

resource "aws_iam_policy" "all" {
  name   = "all"
  policy = data.aws_iam_policy_document.all.json
}

data "aws_iam_policy_document" "wrong" {
  statement {
    sid       = "Twice"
    actions   = "s3:*"
    resources = ["*"]
  }
  statement {
    sid     = "Twice"
    actions = ["s3:*"]
    condition {
      test     = "StringEquals"
      variable = "aws:username"
    }
  }
}

resource "aws_iam_policy" "wrong" {
  name   = "wrong"
  policy = data.aws_iam_policy_document.wrong.json
}
