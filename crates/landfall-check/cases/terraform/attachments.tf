resource "aws_iam_role" "a" {
  name               = "a"
  assume_role_policy = "${data.aws_iam_policy_document.trust.json}"
}

resource "aws_iam_role" "b" {
  name                = "b"
  path                = "/ci/"
  assume_role_policy  = data.aws_iam_policy_document.trust.json
  managed_policy_arns = [aws_iam_policy.own.arn]
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_policy" "own" {
  name   = "own"
  path   = "/team/"
  policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

data "aws_iam_policy" "own" {
  name = "own"
}

data "aws_iam_policy" "ecr" {
  name = "AmazonEC2ContainerRegistryPowerUser"
}

data "aws_iam_policy" "execution" {
  arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_policy_attachment" "both" {
  name       = "both"
  roles      = [aws_iam_role.a.name, aws_iam_role.b.id]
  policy_arn = data.aws_iam_policy.own.arn
}

resource "aws_iam_role_policy_attachments_exclusive" "a" {
  role_name   = aws_iam_role.a.name
  policy_arns = [data.aws_iam_policy.ecr.arn, data.aws_iam_policy.execution.arn]
}

resource "aws_iam_role_policy_attachment" "elsewhere" {
  role       = "elsewhere"
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_role_policy" "named" {
  name_prefix = "push-"
  role        = aws_iam_role.a.id
  policy = <<-EOT
    {"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Action": "ecr:*", "Resource": "${aws_ecr_repository.app.arn}"}
    ]}
  EOT
}

resource "aws_ecr_repository" "app" {
  name                 = "app"
  image_tag_mutability = "IMMUTABLE_WITH_EXCLUSION"
}

resource "aws_ecr_repository_policy" "app" {
  repository = "app"
  policy     = jsonencode({ Statement = [{ Effect = "Allow", Principal = "*", Action = "ecr:BatchGetImage" }] })
}

resource "aws_ecr_repository_policy" "elsewhere" {
  repository = "elsewhere"
  policy     = jsonencode({})
}
