# Log groups of services, as modules write them.

locals {
  services = { web = 14, api = 0 }
}

resource "aws_cloudwatch_log_group" "service" {
  for_each          = local.services
  name              = "/ecs/${each.key}"
  retention_in_days = each.value
  tags = {
    team = each.key
  }
}

resource "aws_cloudwatch_log_group" "made_up" {
  count             = 1
  name_prefix       = "jobs-"
  retention_in_days = "30"
  log_group_class   = "INFREQUENT_ACCESS"
}

data "aws_cloudwatch_log_group" "shared" {
  name = "/shared"
}

data "aws_cloudwatch_log_group" "web" {
  name = "/ecs/web"
}

data "aws_iam_policy_document" "write" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.service["web"].arn}:*", "${data.aws_cloudwatch_log_group.shared.arn}:*"]
  }
}

resource "aws_iam_policy" "write" {
  name   = "write"
  policy = data.aws_iam_policy_document.write.json
}
