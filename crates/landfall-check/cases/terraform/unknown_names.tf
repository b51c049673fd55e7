variable "project" {
  type        = string
  description = "no default"
}

resource "aws_ecr_repository" "app" {
  name                 = "${var.project}/app"
  image_tag_mutability = "IMMUTABLE"
}

resource "aws_iam_policy" "push" {
  name = "${var.project}-push"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" },
      { Effect = "Allow", Action = "ecr:PutImage", Resource = aws_ecr_repository.app.arn },
    ]
  })
}

resource "aws_iam_role" "deploy" {
  name               = "${var.project}-deploy"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy_attachment" "push" {
  role       = aws_iam_role.deploy.name
  policy_arn = aws_iam_policy.push.arn
}

resource "aws_iam_role_policy" "extra" {
  role   = aws_iam_role.deploy.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_ecr_repository_policy" "app" {
  repository = aws_ecr_repository.app.name
  policy     = "{\"Version\":\"2012-10-17\",\"Statement\":[]}"
}

output "url" {
  value = aws_ecr_repository.app.repository_url
}

variable "create" {
  type = bool
}

resource "aws_iam_role" "maybe" {
  count              = var.create ? 1 : 0
  name               = "maybe"
  assume_role_policy = "{}"
}

output "maybe" {
  value = aws_iam_role.maybe[0].arn
}
