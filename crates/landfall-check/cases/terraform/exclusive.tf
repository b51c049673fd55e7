# An exclusive list is all that its role, user or group has, whoever has given more; one that isn't known whole takes
# nothing away.
resource "aws_iam_role" "listed" {
  name               = "listed"
  assume_role_policy = "{}"
}

resource "aws_iam_role_policy_attachment" "read" {
  role       = aws_iam_role.listed.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly"
}

resource "aws_iam_role_policy_attachment" "push" {
  role       = aws_iam_role.listed.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"
}

resource "aws_iam_role_policy_attachments_exclusive" "all" {
  role_name   = aws_iam_role.listed.name
  policy_arns = ["arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly", aws_iam_policy.more.arn]
}

resource "aws_iam_policy" "more" {
  name   = "more"
  policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_role_policy" "kept" {
  name   = "kept"
  role   = aws_iam_role.listed.name
  policy = "{}"
}

resource "aws_iam_role_policy" "taken" {
  name   = "taken"
  role   = aws_iam_role.listed.name
  policy = "{}"
}

resource "aws_iam_role_policies_exclusive" "all" {
  role_name    = "listed"
  policy_names = [aws_iam_role_policy.kept.name]
}

resource "aws_iam_role" "unknown" {
  name               = "unknown"
  assume_role_policy = "{}"
}

resource "aws_iam_role_policy" "unknown" {
  name   = "stays"
  role   = aws_iam_role.unknown.name
  policy = "{}"
}

variable "names" {}

resource "aws_iam_role_policies_exclusive" "unknown" {
  role_name    = aws_iam_role.unknown.name
  policy_names = var.names
}

resource "aws_iam_user" "bare" { name = "bare" }

resource "aws_iam_user_policy_attachment" "bare" {
  user       = aws_iam_user.bare.name
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_user_policy_attachments_exclusive" "bare" {
  user_name   = aws_iam_user.bare.name
  policy_arns = []
}
