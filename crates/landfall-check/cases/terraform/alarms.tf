# Alarms of deployments, as a module of a service has them.

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "web-5xx"
  alarm_description   = "too many answers of the web service are errors"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  evaluation_periods  = 2
  metric_name         = "HTTPCode_Target_5XX_Count"
  namespace           = "AWS/ApplicationELB"
  period              = 60
  statistic           = "Sum"
  threshold           = 5
  treat_missing_data  = "notBreaching"
  ok_actions          = ["arn:aws:sns:eu-west-1:123456789012:ops"]
  dimensions = {
    LoadBalancer = "app/web/0123456789abcdef"
    target_group = "targetgroup/web/0123456789abcdef"
  }
  tags = {
    team = "web"
  }
}

resource "aws_cloudwatch_metric_alarm" "share" {
  alarm_name          = "web-share"
  comparison_operator = "GreaterThanThreshold"
  evaluation_periods  = 1
  threshold           = 0.1

  metric_query {
    id          = "share"
    expression  = "errors / requests"
    return_data = true
  }

  metric_query {
    id = "errors"
    metric {
      metric_name = "HTTPCode_Target_5XX_Count"
      namespace   = "AWS/ApplicationELB"
      period      = 60
      stat        = "Sum"
      dimensions = {
        LoadBalancer = "app/web/0123456789abcdef"
      }
    }
  }
}

resource "aws_ecs_cluster" "prod" {
  name = "prod"
}

resource "aws_ecs_task_definition" "web" {
  family                = "web"
  container_definitions = jsonencode([{ name = "web", image = "nginx", memory = 64 }])
}

resource "aws_ecs_service" "web" {
  name            = "web"
  cluster         = aws_ecs_cluster.prod.name
  task_definition = aws_ecs_task_definition.web.arn
  desired_count   = 1

  alarms {
    alarm_names = [aws_cloudwatch_metric_alarm.errors.alarm_name, aws_cloudwatch_metric_alarm.share.id]
    enable      = true
    rollback    = true
  }
}
