# What the deploying role may do, as three policies: push the image, deploy the service, and hand the
# tasks' roles to ECS.

data "aws_iam_policy_document" "push" {
  statement {
    sid       = "Login"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid = "PushImageOnly"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:CompleteLayerUpload",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    resources = [aws_ecr_repository.orders.arn]
  }
}

data "aws_iam_policy_document" "deploy" {
  statement {
    sid       = "RegisterTaskDefinition"
    actions   = ["ecs:RegisterTaskDefinition", "ecs:DescribeTaskDefinition"]
    resources = ["*"]
  }

  statement {
    sid       = "UpdateService"
    actions   = ["ecs:DescribeServices", "ecs:UpdateService"]
    resources = ["arn:aws:ecs:${local.region}:${local.account}:service/shop/orders"]
  }

  # So that a deployment that fails says why: stopped reasons, exit codes, the last log lines.
  statement {
    sid       = "TellWhy"
    actions   = ["ecs:DescribeTasks", "ecs:ListTasks", "logs:GetLogEvents"]
    resources = ["*"]
  }
}

data "aws_iam_policy_document" "pass_role" {
  statement {
    sid       = "PassRole"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.execution.arn, aws_iam_role.task.arn]

    condition {
      test     = "StringLike"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_policy" "push" {
  name   = "github-actions-push-orders"
  policy = data.aws_iam_policy_document.push.json
}

resource "aws_iam_policy" "deploy" {
  name   = "github-actions-deploy-orders"
  policy = data.aws_iam_policy_document.deploy.json
}

resource "aws_iam_policy" "pass_role" {
  name   = "github-actions-pass-orders-roles"
  policy = data.aws_iam_policy_document.pass_role.json
}

resource "aws_iam_role_policy_attachment" "push" {
  role       = aws_iam_role.github_actions_deploy.name
  policy_arn = aws_iam_policy.push.arn
}

resource "aws_iam_role_policy_attachment" "deploy" {
  role       = aws_iam_role.github_actions_deploy.name
  policy_arn = aws_iam_policy.deploy.arn
}

resource "aws_iam_role_policy_attachment" "pass_role" {
  role       = aws_iam_role.github_actions_deploy.name
  policy_arn = aws_iam_policy.pass_role.arn
}
