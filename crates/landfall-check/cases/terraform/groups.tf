# Groups of users with their policies and members, and what else an account has of IAM.
#! file main.tf
resource "aws_iam_user" "ci" {
  for_each             = toset(["api", "web"])
  name                 = "ci-${each.key}"
  permissions_boundary = aws_iam_policy.edge.arn
}

resource "aws_iam_policy" "edge" {
  name        = "edge"
  description = "what nobody goes beyond"
  policy      = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_group" "deployers" {
  name = "deployers"
  path = "/teams/"
}

resource "aws_iam_group_policy" "push" {
  name   = "push"
  group  = aws_iam_group.deployers.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "ecr:*", Resource = "*" }] })
}

resource "aws_iam_group_policy_attachment" "edge" {
  group      = aws_iam_group.deployers.id
  policy_arn = aws_iam_policy.edge.arn
}

# Attaches to all three kinds at once; what is attached already is attached once.
resource "aws_iam_policy_attachment" "read" {
  name       = "read"
  users      = [aws_iam_user.ci["api"].name]
  groups     = [aws_iam_group.deployers.name, "elsewhere"]
  roles      = [aws_iam_role.node.name]
  policy_arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
}

resource "aws_iam_group_policy_attachments_exclusive" "deployers" {
  group_name  = aws_iam_group.deployers.name
  policy_arns = [aws_iam_policy.edge.arn, "arn:aws:iam::aws:policy/ReadOnlyAccess"]
}

resource "aws_iam_group_policies_exclusive" "deployers" {
  group_name   = aws_iam_group.deployers.name
  policy_names = [aws_iam_group_policy.push.name]
}

resource "aws_iam_group_membership" "deployers" {
  name  = "deployers"
  group = aws_iam_group.deployers.name
  users = [aws_iam_user.ci["web"].name, "somebody-else"]
}

resource "aws_iam_user_group_membership" "api" {
  user   = aws_iam_user.ci["api"].name
  groups = [aws_iam_group.deployers.name, aws_iam_group.generated.name]
}

resource "aws_iam_group" "generated" {
  name = "g-${random_id.suffix.hex}"
}

resource "random_id" "suffix" {
  byte_length = 2
}

resource "aws_iam_user_group_membership" "by_arn" {
  user   = aws_iam_user.ci["api"].arn
  groups = [aws_iam_group.deployers.name]
}

resource "aws_iam_role" "node" {
  name               = "node"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_iam_instance_profile" "node" {
  name = "node"
  path = "/ec2/"
  role = aws_iam_role.node.name
  tags = { team = "web" }
}

resource "aws_iam_instance_profile" "bare" {
  name_prefix = "bare-"
}

resource "aws_iam_service_linked_role" "scaling" {
  aws_service_name = "autoscaling.amazonaws.com"
  custom_suffix    = "web"
  description      = "scales"
}

resource "aws_iam_account_alias" "ours" {
  account_alias = "acme"
}

output "arns" {
  value = [
    aws_iam_group.deployers.arn,
    aws_iam_instance_profile.node.arn,
    aws_iam_instance_profile.bare.name,
    aws_iam_service_linked_role.scaling.arn,
    aws_iam_user.ci["web"].arn,
  ]
}
#! module
#! file second/main.tf
resource "aws_iam_user_group_membership" "web" {
  user   = "ci-web"
  groups = ["deployers"]
}

resource "aws_iam_group_policy" "pull" {
  group  = "deployers"
  policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}
