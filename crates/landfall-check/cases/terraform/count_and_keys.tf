resource "aws_ecr_repository" "many" {
  count = 2
  name  = "app-${count.index}"
}

resource "aws_ecr_repository" "none" {
  count = 0
  name  = "none"
}

resource "aws_ecr_repository" "named" {
  for_each = toset(["web", "api", "web"])
  name     = each.key
  tags     = { Name = each.value }
}

resource "aws_ecr_repository" "listed" {
  for_each = ["web"]
  name     = each.key
}

resource "aws_iam_role" "one" {
  count              = 1
  name_prefix        = "ci-"
  assume_role_policy = "{}"
}

resource "aws_iam_role_policy_attachment" "all" {
  for_each   = toset(["ReadOnlyAccess", "SecurityAudit"])
  role       = aws_iam_role.one[0].name
  policy_arn = "arn:aws:iam::aws:policy/${each.value}"
}

output "many" {
  value = aws_ecr_repository.many[*].name
}

output "legacy_splat" {
  value = join(",", aws_ecr_repository.many.*.repository_url)
}

output "named" {
  value = [for name, repository in aws_ecr_repository.named : repository.arn]
}

output "one" {
  value = one(aws_iam_role.one[*].arn)
}

output "without_index" {
  value = aws_iam_role.one.arn
}

output "beyond" {
  value = aws_iam_role.one[1].arn
}

output "try_beyond" {
  value = try(aws_ecr_repository.none[0].arn, "no repository")
}
