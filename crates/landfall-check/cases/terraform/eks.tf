provider "aws" {
  region = "eu-west-1"
}

resource "aws_iam_role" "cluster" {
  name               = "cluster"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_eks_cluster" "main" {
  name                = "shop"
  role_arn            = aws_iam_role.cluster.arn
  version             = "1.33"
  deletion_protection = false
  vpc_config {
    subnet_ids              = [aws_subnet.a.id, "subnet-2"]
    endpoint_private_access = true
  }
  access_config {
    authentication_mode = "API"
  }
  tags = {
    "cost_center" = "a"
  }
}

resource "aws_iam_openid_connect_provider" "main" {
  url            = aws_eks_cluster.main.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_eks_pod_identity_association" "pusher" {
  cluster_name    = aws_eks_cluster.main.name
  namespace       = "build"
  service_account = "pusher"
  role_arn        = aws_iam_role.cluster.arn
  target_role_arn = "arn:aws:iam::210987654321:role/push"
}

# Its role can't be worked out, so it is left out.
resource "aws_eks_pod_identity_association" "unknown" {
  cluster_name    = data.aws_eks_cluster.main.name
  namespace       = "build"
  service_account = "other"
  role_arn        = module.roles.arn
}

data "aws_eks_cluster" "main" {
  name = "shop"
}

output "same_issuer" {
  value = data.aws_eks_cluster.main.identity[0].oidc[0].issuer == aws_eks_cluster.main.identity[0].oidc[0].issuer
}

output "cluster_arn" {
  value = aws_eks_cluster.main.arn
}

output "external_id" {
  value = aws_eks_pod_identity_association.pusher.external_id
}
