# A platform team's module looks up what the service's module makes, and names its roles and users by their names;
# the order of the modules does not matter.
#! file app/main.tf
data "aws_iam_openid_connect_provider" "github" {
  url = "https://token.actions.githubusercontent.com"
}

data "aws_iam_openid_connect_provider" "gitlab" {
  url = "https://gitlab.example.com"
}

data "aws_ecr_repository" "app" {
  name = "app"
}

data "aws_ecr_repository" "base" {
  name = "base"
}

data "aws_ecs_cluster" "shop" {
  cluster_name = "shop"
}

resource "aws_iam_role_policy" "push" {
  role   = "deploy"
  policy = jsonencode({ Statement = [{ Effect = "Allow", Action = "ecr:*", Resource = data.aws_ecr_repository.app.arn }] })
}

resource "aws_iam_role_policy_attachment" "read" {
  role       = "deploy"
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_user_policy_attachment" "read" {
  user       = "robot"
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_access_key" "robot" {
  user = "robot"
}

resource "aws_ecr_repository_policy" "base" {
  repository = "base"
  policy     = jsonencode({ Statement = [{ Effect = "Allow", Principal = "*", Action = "ecr:BatchGetImage" }] })
}

resource "aws_iam_role_policy_attachment" "elsewhere" {
  role       = "elsewhere"
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

output "cluster" {
  value = data.aws_ecs_cluster.shop.arn
}
#! module
#! file base/main.tf
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "deploy" {
  name = "deploy"
  assume_role_policy = jsonencode({
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/gitlab.example.com" }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = { StringEquals = { "gitlab.example.com:aud" = "https://aws.example.com" } }
    }]
  })
}

resource "aws_iam_user" "robot" {
  name = "robot"
}

resource "aws_ecr_repository" "app" {
  name = "app"
}
