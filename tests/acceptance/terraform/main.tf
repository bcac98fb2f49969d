# Two models, a configuration with all that it can say, an endpoint that is updated by a canary with
# an alarm, and all that they stand on. The program that runs it sets `artifact` and `revision`.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region                  = "us-east-1"
  s3_use_path_style       = true
  skip_metadata_api_check = true
  skip_region_validation  = true
  default_tags { tags = { stack = "terraform" } }
}

variable "artifact" {
  description = "A model.tar.gz on this host."
  type        = string
}

variable "revision" {
  description = "Which model the endpoint serves."
  type        = string
  default     = "one"
}

variable "prefix" {
  description = "What all names begin with."
  type        = string
}

data "aws_caller_identity" "me" {}

resource "aws_s3_bucket" "models" {
  bucket        = "${var.prefix}-models"
  force_destroy = true
  tags          = { purpose = "models" }
}

resource "aws_s3_object" "model" {
  bucket       = aws_s3_bucket.models.id
  key          = "models/${var.revision}/model.tar.gz"
  source       = var.artifact
  source_hash  = filemd5(var.artifact)
  content_type = "application/gzip"
}

resource "aws_s3_bucket_policy" "models" {
  bucket = aws_s3_bucket.models.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = aws_iam_role.execution.arn }
      Action    = ["s3:GetObject"]
      Resource  = "${aws_s3_bucket.models.arn}/*"
    }]
  })
}

resource "aws_iam_role" "execution" {
  name = "${var.prefix}-execution"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "sagemaker.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_policy" "read" {
  name = "${var.prefix}-read"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["s3:ListBucket"], Resource = aws_s3_bucket.models.arn },
      { Effect = "Allow", Action = ["s3:GetObject"], Resource = "${aws_s3_bucket.models.arn}/*" },
    ]
  })
}

resource "aws_iam_role_policy_attachment" "read" {
  role       = aws_iam_role.execution.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_role_policy" "logs" {
  name = "logs"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["logs:PutLogEvents"], Resource = "*" }]
  })
}

resource "aws_cloudwatch_log_group" "own" {
  name              = "/${var.prefix}/own"
  retention_in_days = 7
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${var.prefix}-errors"
  comparison_operator = "GreaterThanThreshold"
  evaluation_periods  = 1
  metric_name         = "Invocation5XXErrors"
  namespace           = "AWS/SageMaker"
  period              = 10
  statistic           = "Sum"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  dimensions          = { EndpointName = "${var.prefix}-endpoint", VariantName = "main" }
}

resource "aws_sagemaker_model" "served" {
  name               = "${var.prefix}-${var.revision}"
  execution_role_arn = aws_iam_role.execution.arn

  primary_container {
    image          = "python"
    model_data_url = "s3://${aws_s3_bucket.models.id}/${aws_s3_object.model.key}"
    environment    = { REVISION = var.revision }
  }

  vpc_config {
    subnets            = ["subnet-0123456789abcdef0"]
    security_group_ids = ["sg-0123456789abcdef0"]
  }

  depends_on = [aws_iam_role_policy_attachment.read, aws_iam_role_policy.logs]
  lifecycle { create_before_destroy = true }
}

resource "aws_sagemaker_endpoint_configuration" "served" {
  name        = "${var.prefix}-${var.revision}"
  kms_key_arn = "arn:aws:kms:us-east-1:${data.aws_caller_identity.me.account_id}:key/0a1b2c3d-0000-4000-8000-000000000000"

  production_variants {
    variant_name                                      = "main"
    model_name                                        = aws_sagemaker_model.served.name
    initial_instance_count                            = 2
    initial_variant_weight                            = 1
    instance_type                                     = "ml.m5.large"
    volume_size_in_gb                                 = 8
    model_data_download_timeout_in_seconds            = 120
    container_startup_health_check_timeout_in_seconds = 120
    inference_ami_version                             = "al2-ami-sagemaker-inference-gpu-2"

    routing_config {
      routing_strategy = "LEAST_OUTSTANDING_REQUESTS"
    }

    managed_instance_scaling {
      status             = "ENABLED"
      min_instance_count = 1
      max_instance_count = 2
    }

    core_dump_config {
      destination_s3_uri = "s3://${aws_s3_bucket.models.id}/dumps/"
    }
  }

  lifecycle { create_before_destroy = true }
}

resource "aws_sagemaker_endpoint" "served" {
  name                 = "${var.prefix}-endpoint"
  endpoint_config_name = aws_sagemaker_endpoint_configuration.served.name

  deployment_config {
    auto_rollback_configuration {
      alarms { alarm_name = aws_cloudwatch_metric_alarm.errors.alarm_name }
    }
    blue_green_update_policy {
      traffic_routing_configuration {
        type                     = "CANARY"
        wait_interval_in_seconds = 1
        canary_size {
          type  = "INSTANCE_COUNT"
          value = 1
        }
      }
      termination_wait_in_seconds          = 0
      maximum_execution_timeout_in_seconds = 600
    }
  }
}

output "endpoint" {
  value = aws_sagemaker_endpoint.served.name
}
