#! file broken.tf
resource "aws_ecr_repository" "before" {
  name = "before"
}

resource "aws_ecr_repository" "broken" {
  name = "broken
}

resource "aws_ecr_repository" "after" {
  name = "after"
}

locals {
  a = [1, 2
}

resource "aws_iam_role" "r" {
  name = local.a
  assume_role_policy = jsonencode({
    Statement = [
      { Effect = "Allow" Action = "x" }
    ]
  })
}
#! file good.tf
output "after" {
  value = aws_ecr_repository.after.arn
}

output "broken" {
  value = aws_ecr_repository.broken.arn
}
#! file extra.tf.json
{}
#! file zz_override.tf
locals { a = 1 }
