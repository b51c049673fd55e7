# `terraform workspace select` writes the workspace down.
#! file main.tf
output "workspace" { value = terraform.workspace }
#! file .terraform/environment
staging
