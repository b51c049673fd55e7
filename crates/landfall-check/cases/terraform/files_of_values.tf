# Files of values that are named on the command line win over those that are read by themselves, the last one over the
# first, and `--var` over all of them.
#! var-file env/common.tfvars
#! var-file env/prod.tfvars
#! var last=said
#! file main.tf
variable "a" { default = "default" }
variable "b" { default = "default" }
variable "c" { default = "default" }
variable "d" { default = "default" }
variable "last" { default = "default" }

output "values" {
  value = [var.a, var.b, var.c, var.d, var.last]
}
#! file terraform.tfvars
b = "terraform.tfvars"
c = "terraform.tfvars"
#! file unread.tfvars
a = "unread"
#! file env/common.tfvars
c    = "common"
d    = "common"
last = "common"
#! file env/prod.tfvars
d     = "prod"
other = "of another folder"
