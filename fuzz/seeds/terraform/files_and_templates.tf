#! file infra/main.tf
resource "aws_iam_role" "from_file" {
  name               = "from-file"
  assume_role_policy = file("${path.module}/policies/../policies/trust.json")
}

resource "aws_iam_role" "from_template" {
  name = "from-template"
  assume_role_policy = templatefile("policies/trust.json.tpl", {
    repo  = "acme/api"
    roles = ["a", "b"]
  })
}

resource "aws_iam_role" "decoded" {
  name               = "decoded"
  assume_role_policy = jsonencode(merge(jsondecode(file("policies/trust.json")), { Id = "x" }))
}
#! file infra/policies/trust.json
{
  "Version": "2012-10-17",
  "Statement": [
    { "Effect": "Allow", "Principal": { "Service": "ecs-tasks.amazonaws.com" }, "Action": "sts:AssumeRole" }
  ]
}
#! file infra/policies/trust.json.tpl
{"Version": "2012-10-17",
 "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
   "Principal": {"Federated": [%{ for i, role in roles }%{ if i > 0 },%{ endif }"${role}"%{ endfor }]},
   "Condition": {"StringLike": {"token.actions.githubusercontent.com:sub": "repo:${repo}:*"}}}]}
