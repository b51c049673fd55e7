# What one root module reads of another's state: by the place of the state, by the data source's name, or because one
# other module alone has such an output. What is in no module may be said by --var.
#! var data.aws_ssm_parameter.said.value=said
#! var data.terraform_remote_state.away.outputs.said=said-too
#! file live/app/main.tf
data "terraform_remote_state" "by_key" {
  backend = "s3"
  config  = { bucket = "states", key = "live/network/terraform.tfstate", region = "eu-west-1" }
}

data "terraform_remote_state" "identity" {
  backend = "local"
  config  = { path = var.nowhere }
}

data "terraform_remote_state" "away" {
  backend = "remote"
  config  = { organization = "acme", workspaces = { name = "away" } }
}

data "aws_ssm_parameter" "said" { name = "/said" }

variable "nowhere" {}

locals {
  network = data.terraform_remote_state.by_key.outputs
}

resource "aws_iam_role" "deploy" {
  name = "deploy"
  assume_role_policy = jsonencode({
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = data.terraform_remote_state.identity.outputs.github_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = { StringEquals = { "token.actions.githubusercontent.com:sub" = data.terraform_remote_state.away.outputs.subjects["main"] } }
    }]
  })
}

output "through_a_local" { value = local.network.name }
output "one_has_it_alone" { value = data.terraform_remote_state.away.outputs.github_arn }
output "two_have_it" { value = data.terraform_remote_state.away.outputs.name }
output "nobody_has_it" { value = data.terraform_remote_state.by_key.outputs.missing }
output "by_var" { value = data.aws_ssm_parameter.said.value }
output "by_var_of_a_state" { value = data.terraform_remote_state.away.outputs.said }
#! module
#! file live/network/main.tf
output "name" { value = "network-of-${data.terraform_remote_state.identity.outputs.name}" }
data "terraform_remote_state" "identity" {
  backend = "local"
  config  = { path = "../identity/terraform.tfstate" }
}
#! module
#! file live/identity/main.tf
resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}
output "github_arn" { value = aws_iam_openid_connect_provider.github.arn }
output "name" { value = "identity" }
output "subjects" { value = { main = "repo:acme/web:ref:refs/heads/main" } }
