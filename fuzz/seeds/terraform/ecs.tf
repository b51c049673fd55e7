provider "aws" {
  region = "eu-west-1"
}

resource "aws_ecr_repository" "app" {
  name = "shop/web"
}

resource "aws_iam_role" "execution" {
  name               = "execution"
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [] })
}

resource "aws_ecs_cluster" "main" {
  name = "prod"
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "web" {
  family                   = "web"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = "512"
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions = jsonencode([{
    name         = "web"
    image        = "${aws_ecr_repository.app.repository_url}:latest"
    portMappings = [{ containerPort = 8080 }]
    environment  = [{ name = "DB", value = aws_db_instance.main.address }, { name = "A", value = "b=c" }]
    dockerLabels = { "my_label" = "x" }
  }])
  runtime_platform {
    cpu_architecture = "X86_64"
  }
}

resource "aws_ecs_service" "web" {
  name            = "web"
  cluster         = aws_ecs_cluster.main.id
  task_definition = aws_ecs_task_definition.web.arn
  desired_count   = 2
  launch_type     = "FARGATE"
  network_configuration {
    subnets          = [aws_subnet.a.id]
    assign_public_ip = true
  }
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  deployment_minimum_healthy_percent = 50
  lifecycle {
    ignore_changes = [task_definition]
  }
}

output "service" {
  value = aws_ecs_service.web.id
}

resource "aws_ecs_account_setting_default" "short" {
  name  = "serviceLongArnFormat"
  value = "disabled"
}
