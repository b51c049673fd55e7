terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

provider "aws" {
  region = "ap-northeast-2"
}

variable "branch" {
  description = "The branch whose pipelines may take the role"
  type        = string
  default     = "main"
}

locals {
  gitlab  = "https://gitlab.example.com"
  project = "mygroup/myproject"
  subject = "project_path:${local.project}:ref_type:branch:ref:${var.branch}"
}

# The GitLab's issuer, and the audience that its tokens must be for: its address, without a slash at the end.
resource "aws_iam_openid_connect_provider" "gitlab" {
  url             = local.gitlab
  client_id_list  = [local.gitlab]
  thumbprint_list = ["08745487e891c19e3078c1f2a07e452950ef36f6"]
}

# Who may take the role: this project's pipelines on one branch, and nobody else.
resource "aws_iam_role" "gitlab_deploy" {
  name = "gitlab-deploy"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Principal = {
          Federated = aws_iam_openid_connect_provider.gitlab.arn
        }
        Action = "sts:AssumeRoleWithWebIdentity"
        Condition = {
          StringEquals = {
            "gitlab.example.com:sub" = local.subject
          }
        }
      }
    ]
  })
}

# What the role may do: push to and pull from ECR.
resource "aws_iam_role_policy_attachment" "ecr" {
  role       = aws_iam_role.gitlab_deploy.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPowerUser"
}

resource "aws_ecr_repository" "web" {
  name = "web"
}

output "role_arn" {
  value = aws_iam_role.gitlab_deploy.arn
}
