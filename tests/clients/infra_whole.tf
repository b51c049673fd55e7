# What Terraform says of IAM and ECR beside roles and repositories, and a policy that can't be worked out.

provider "aws" { region = "eu-west-1" }

variable "nobody_says" {}

resource "aws_iam_role_policy" "own" {
  name = "own"
  role = aws_iam_role.push.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [
    { Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" },
    { Effect = "Allow", Action = "ecr:*", Resource = var.nobody_says },
  ] })
}

data "aws_caller_identity" "me" {}

resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
  tags           = { team = "platform" }
}

resource "aws_iam_role" "push" {
  name               = "push"
  tags               = { team = "platform", app = "web" }
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = { StringEquals = { "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com", "token.actions.githubusercontent.com:sub" = "repo:acme/web:ref:refs/heads/main" } }
    }]
  })
}

resource "aws_iam_policy" "p" {
  name   = "p"
  tags   = { team = "x" }
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "ecr:*", Resource = "*" }] })
}

resource "aws_ecr_repository" "web" {
  name                 = "web"
  image_tag_mutability = "IMMUTABLE_WITH_EXCLUSION"
  image_tag_mutability_exclusion_filter {
    filter      = "latest*"
    filter_type = "WILDCARD"
  }
  image_scanning_configuration { scan_on_push = true }
  encryption_configuration { encryption_type = "KMS" }
  tags = { team = "platform" }
}

resource "aws_ecr_lifecycle_policy" "web" {
  repository = aws_ecr_repository.web.name
  policy = jsonencode({ rules = [{ rulePriority = 1, description = "few", selection = { tagStatus = "untagged", countType = "imageCountMoreThan", countNumber = 5 }, action = { type = "expire" } }] })
}

resource "aws_ecr_repository_policy" "web" {
  repository = aws_ecr_repository.web.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { AWS = "arn:aws:iam::210987654321:root" }, Action = ["ecr:BatchGetImage"] }] })
}

resource "aws_ecr_registry_policy" "r" {
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Sid = "r", Effect = "Allow", Principal = { AWS = "arn:aws:iam::210987654321:root" }, Action = ["ecr:ReplicateImage"], Resource = "arn:aws:ecr:eu-west-1:123456789012:repository/*" }] })
}

resource "aws_ecr_registry_scanning_configuration" "s" {
  scan_type = "ENHANCED"
  rule {
    scan_frequency = "SCAN_ON_PUSH"
    repository_filter {
      filter      = "*"
      filter_type = "WILDCARD"
    }
  }
}

resource "aws_ecr_replication_configuration" "r" {
  replication_configuration {
    rule {
      destination {
        region      = "us-west-2"
        registry_id = data.aws_caller_identity.me.account_id
      }
      repository_filter {
        filter      = "web"
        filter_type = "PREFIX_MATCH"
      }
    }
  }
}

resource "aws_ecr_pull_through_cache_rule" "p" {
  ecr_repository_prefix = "ecr-public"
  upstream_registry_url = "public.ecr.aws"
}

resource "aws_ecr_repository_creation_template" "t" {
  prefix               = "team"
  description          = "made on push"
  image_tag_mutability = "IMMUTABLE"
  applied_for          = ["PULL_THROUGH_CACHE", "REPLICATION"]
  custom_role_arn      = aws_iam_role.push.arn
  encryption_configuration { encryption_type = "AES256" }
  repository_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = "*", Action = ["ecr:BatchGetImage"] }] })
  lifecycle_policy  = jsonencode({ rules = [{ rulePriority = 1, description = "few", selection = { tagStatus = "untagged", countType = "imageCountMoreThan", countNumber = 5 }, action = { type = "expire" } }] })
  resource_tags     = { made = "by-template" }
}

resource "aws_ecr_account_setting" "s" {
  name  = "BASIC_SCAN_TYPE_VERSION"
  value = "AWS_NATIVE"
}

resource "aws_ecrpublic_repository" "pub" {
  repository_name = "tool"
  catalog_data {
    about_text    = "about"
    architectures = ["ARM"]
    description   = "d"
  }
  tags = { env = "production" }
}

resource "aws_ecrpublic_repository_policy" "pub" {
  repository_name = aws_ecrpublic_repository.pub.repository_name
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { AWS = "arn:aws:iam::210987654321:root" }, Action = ["ecr-public:PutImage"] }] })
}

resource "aws_iam_user" "ci" {
  name = "ci"
  tags = { a = "b" }
}

resource "aws_iam_user_policy" "ci" {
  user   = aws_iam_user.ci.name
  name   = "own"
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "ecr:*", Resource = "*" }] })
}

resource "aws_iam_user_policy_attachment" "ci" {
  user       = aws_iam_user.ci.name
  policy_arn = aws_iam_policy.p.arn
}

resource "aws_iam_group" "g" { name = "devs" }

resource "aws_iam_group_membership" "g" {
  name  = "m"
  group = aws_iam_group.g.name
  users = [aws_iam_user.ci.name]
}

resource "aws_iam_group_policy" "g" {
  name  = "tell"
  group = aws_iam_group.g.name
  policy = jsonencode({ Version = "2012-10-17", Statement = [
    { Effect = "Allow", Action = "ecs:ListClusters", Resource = "*" },
    { Effect = "Deny", Action = "ecs:DeleteCluster", Resource = "*" },
  ] })
}

resource "aws_iam_group_policy_attachment" "g" {
  group      = aws_iam_group.g.name
  policy_arn = aws_iam_policy.edge.arn
}

resource "aws_iam_policy" "edge" {
  name        = "edge"
  description = "nobody goes beyond"
  policy      = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = ["ecr:*", "ecs:*", "iam:GetUser"], Resource = "*" }] })
}

resource "aws_iam_user" "bounded" {
  name                 = "bounded"
  permissions_boundary = aws_iam_policy.edge.arn
}

resource "aws_iam_user_group_membership" "bounded" {
  user   = aws_iam_user.bounded.name
  groups = [aws_iam_group.g.name]
}

resource "aws_iam_service_linked_role" "scaling" {
  aws_service_name = "autoscaling.amazonaws.com"
  custom_suffix    = "web"
  description      = "scales"
  tags             = { team = "platform" }
}

resource "aws_iam_saml_provider" "office" {
  name                   = "office"
  saml_metadata_document = "<xml/>"
}

resource "aws_iam_instance_profile" "ip" {
  name = "ip"
  tags = { team = "platform" }
  role = aws_iam_role.push.name
}

resource "aws_iam_account_alias" "alias" { account_alias = "acme" }

resource "aws_codedeploy_app" "app" {
  name             = "app"
  compute_platform = "ECS"
  tags             = { team = "platform" }
}

resource "aws_codedeploy_deployment_config" "slow" {
  deployment_config_name = "slow"
  compute_platform       = "ECS"
  traffic_routing_config {
    type = "TimeBasedCanary"
    time_based_canary {
      interval   = 30
      percentage = 20
    }
  }
}

resource "aws_ecs_cluster" "prod" { name = "prod" }

resource "aws_s3_bucket" "b" { bucket = "b" }
