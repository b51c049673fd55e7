# For the experiments in this example's README.

# resource "aws_ecs_account_setting_default" "old_arns" {
#   name  = "serviceLongArnFormat"
#   value = "disabled"
# }
