# Not attached to anything: for the experiments in this example's README. It has all that a push
# needs but the last call, ecr:PutImage.
data "aws_iam_policy_document" "layers_only" {
  statement {
    sid       = "Login"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid = "Layers"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:CompleteLayerUpload",
      "ecr:InitiateLayerUpload",
      "ecr:UploadLayerPart",
    ]
    resources = ["arn:aws:ecr:ap-northeast-2:${data.aws_caller_identity.current.account_id}:repository/web"]
  }
}

resource "aws_iam_policy" "layers_only" {
  name   = "ecr-layers-only"
  policy = data.aws_iam_policy_document.layers_only.json
}
