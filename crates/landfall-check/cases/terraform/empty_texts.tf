# The provider takes an empty text for an argument that isn't there.
resource "aws_iam_role" "r" {
  name                 = "r"
  path                 = ""
  permissions_boundary = ""
  assume_role_policy   = jsonencode({ Statement = [] })
}
