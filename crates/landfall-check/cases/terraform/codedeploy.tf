resource "aws_iam_role" "deployer" {
  name               = "deployer"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Principal = { Service = "codedeploy.amazonaws.com" }, Action = "sts:AssumeRole" }] })
}

resource "aws_codedeploy_app" "web" {
  compute_platform = "ECS"
  name             = "AppECS-prod-web"
  tags             = { team = "web" }
}

resource "aws_codedeploy_deployment_config" "slow" {
  deployment_config_name = "slow"
  compute_platform       = "ECS"

  traffic_routing_config {
    type = "TimeBasedLinear"
    time_based_linear {
      interval   = 10
      percentage = 20
    }
  }
}

# For servers: none of the delivery's business.
resource "aws_codedeploy_deployment_config" "hosts" {
  deployment_config_name = "hosts"
  minimum_healthy_hosts {
    type  = "HOST_COUNT"
    value = 2
  }
}

resource "aws_codedeploy_deployment_group" "web" {
  app_name               = aws_codedeploy_app.web.name
  deployment_group_name  = "DgpECS-prod-web"
  deployment_config_name = "CodeDeployDefault.ECSCanary10Percent5Minutes"
  service_role_arn       = aws_iam_role.deployer.arn

  auto_rollback_configuration {
    enabled = true
    events  = ["DEPLOYMENT_FAILURE"]
  }

  alarm_configuration {
    enabled = true
    alarms  = ["web-5xx"]
  }

  deployment_style {
    deployment_option = "WITH_TRAFFIC_CONTROL"
    deployment_type   = "BLUE_GREEN"
  }

  blue_green_deployment_config {
    deployment_ready_option {
      action_on_timeout    = "STOP_DEPLOYMENT"
      wait_time_in_minutes = 10
    }
    terminate_blue_instances_on_deployment_success {
      action                           = "TERMINATE"
      termination_wait_time_in_minutes = 5
    }
  }

  ecs_service {
    cluster_name = "prod"
    service_name = "web"
  }

  load_balancer_info {
    target_group_pair_info {
      prod_traffic_route {
        listener_arns = [aws_lb_listener.web.arn]
      }
      target_group {
        name = "blue"
      }
      target_group {
        name = "green"
      }
    }
  }
}

# For servers: none of the delivery's business.
resource "aws_codedeploy_app" "servers" {
  name = "servers"
}

resource "aws_codedeploy_deployment_group" "servers" {
  app_name              = aws_codedeploy_app.servers.name
  deployment_group_name = "all"
  service_role_arn      = aws_iam_role.deployer.arn
}

resource "aws_ecs_service" "canary" {
  name          = "canary"
  cluster       = "prod"
  desired_count = 1

  deployment_configuration {
    strategy             = "CANARY"
    bake_time_in_minutes = "5"
    canary_configuration {
      canary_percent              = 10
      canary_bake_time_in_minutes = "2"
    }
    lifecycle_hook {
      hook_target_arn  = "arn:aws:lambda:us-east-1:123456789012:function:smoke"
      role_arn         = aws_iam_role.deployer.arn
      lifecycle_stages = ["POST_SCALE_UP"]
    }
  }

  alarms {
    enable      = true
    rollback    = true
    alarm_names = ["web-5xx"]
  }

  load_balancer {
    target_group_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/blue/1"
    container_name   = "web"
    container_port   = 80
    advanced_configuration {
      alternate_target_group_arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/green/2"
      production_listener_rule   = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener-rule/app/web/1/2/3"
      role_arn                   = aws_iam_role.deployer.arn
    }
  }
}

output "group" {
  value = aws_codedeploy_deployment_group.web.arn
}

resource "aws_lb_listener" "web" {
  port = 443
}
