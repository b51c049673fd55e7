variable "org" {
  default = "acme"
}

variable "repo" {}

resource "aws_iam_openid_connect_provider" "this" {
  url            = "https://gitlab.example.com/"
  client_id_list = ["https://gitlab.example.com"]
}

resource "aws_iam_role" "heredoc" {
  name               = "heredoc"
  assume_role_policy = <<EOF
{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Allow",
    "Principal": { "Federated": "${aws_iam_openid_connect_provider.this.arn}" },
    "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {
      "StringEquals": { "gitlab.example.com:aud": "https://gitlab.example.com" },
      "StringLike": { "gitlab.example.com:sub": [
        "project_path:${var.org}/web:ref_type:branch:ref:main",
        "project_path:${var.org}/${var.repo}:*"
      ] }
    }
  }]
}
EOF
}

resource "aws_iam_role" "indented" {
  name                 = "indented"
  max_session_duration = "7200"
  assume_role_policy   = <<-EOF
    {
      "Version": "2012-10-17",
      "Statement": {
        "Effect": "Allow",
        "Principal": { "Federated": "accounts.google.com" },
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": { "StringEquals": { "accounts.google.com:aud": "a \"quoted\" $${name}" } }
      }
    }
  EOF
}

resource "aws_iam_role" "leading_space" {
  name               = "leading-space"
  assume_role_policy = <<EOF
  { "Version": "2012-10-17", "Statement": [], }
EOF
}

resource "aws_iam_role" "not_a_string" {
  name               = "not-a-string"
  assume_role_policy = { Version = "2012-10-17" }
}
