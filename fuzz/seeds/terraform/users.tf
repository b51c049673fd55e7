# IAM users, their policies and keys.
resource "aws_iam_user" "ci" {
  name = "ci"
  path = "/bots/"
  tags = { team = "web" }
}

resource "aws_iam_access_key" "ci" {
  user = aws_iam_user.ci.name
}

resource "aws_iam_user_policy" "push" {
  name   = "push"
  user   = aws_iam_user.ci.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_user_policy_attachment" "read" {
  user       = "ci"
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_user" "generated" {
  name = "ci-${random_id.suffix.hex}"
}

resource "random_id" "suffix" {
  byte_length = 2
}

resource "aws_iam_access_key" "generated" {
  user = aws_iam_user.generated.name
}

resource "aws_iam_access_key" "of_nobody" {
  user = "somebody-else"
}

resource "aws_iam_access_key" "without_user" {
}
