provider "aws" {
  region = "ap-northeast-2"
}

resource "aws_ecr_repository" "web" {
  name = "web"
}

# A user that is no person: its key is what the pipeline signs with.
resource "aws_iam_user" "ci" {
  name = "github-action-user"
}

resource "aws_iam_access_key" "ci" {
  user = aws_iam_user.ci.name
}

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

resource "aws_iam_user_policy" "push" {
  name   = "push"
  user   = aws_iam_user.ci.name
  policy = data.aws_iam_policy_document.push.json
}
