provider "aws" {
  region = "ap-northeast-2"
}

locals {
  namespace = "build"
}

# The cluster. Locally it is a name, an issuer and its associations; no Kubernetes runs.
resource "aws_iam_role" "cluster" {
  name = "eks-cluster"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
    }]
  })
}

resource "aws_eks_cluster" "shop" {
  name     = "shop"
  role_arn = aws_iam_role.cluster.arn
  vpc_config {
    subnet_ids = ["subnet-0a1b2c3d4e5f60001", "subnet-0a1b2c3d4e5f60002"]
  }
}

# By Pod Identity: EKS takes the role for the pods of one service account, and tags every session with whose
# it is. Both actions have to be there.
resource "aws_iam_role" "pusher" {
  name = "pod-pusher"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = {
          "aws:RequestTag/eks-cluster-name"     = aws_eks_cluster.shop.name
          "aws:RequestTag/kubernetes-namespace" = local.namespace
        }
      }
    }]
  })
}

resource "aws_eks_pod_identity_association" "pusher" {
  cluster_name    = aws_eks_cluster.shop.name
  namespace       = local.namespace
  service_account = "pusher"
  role_arn        = aws_iam_role.pusher.arn
}

# By IRSA: the cluster's issuer is a provider, and the role admits one service account's tokens.
resource "aws_iam_openid_connect_provider" "shop" {
  url            = aws_eks_cluster.shop.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  issuer = replace(aws_eks_cluster.shop.identity[0].oidc[0].issuer, "https://", "")
}

resource "aws_iam_role" "irsa_pusher" {
  name = "irsa-pusher"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = aws_iam_openid_connect_provider.shop.arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.issuer}:aud" = "sts.amazonaws.com"
          "${local.issuer}:sub" = "system:serviceaccount:${local.namespace}:irsa-pusher"
        }
      }
    }]
  })
}

# What the pods push to, and may push.
resource "aws_ecr_repository" "web" {
  name = "web"
}

resource "aws_iam_policy" "push" {
  name = "push-web"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" },
      {
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability",
          "ecr:BatchGetImage",
          "ecr:CompleteLayerUpload",
          "ecr:GetDownloadUrlForLayer",
          "ecr:InitiateLayerUpload",
          "ecr:PutImage",
          "ecr:UploadLayerPart",
        ]
        Resource = aws_ecr_repository.web.arn
      },
    ]
  })
}

resource "aws_iam_role_policy_attachment" "pusher" {
  role       = aws_iam_role.pusher.name
  policy_arn = aws_iam_policy.push.arn
}

resource "aws_iam_role_policy_attachment" "irsa_pusher" {
  role       = aws_iam_role.irsa_pusher.name
  policy_arn = aws_iam_policy.push.arn
}
