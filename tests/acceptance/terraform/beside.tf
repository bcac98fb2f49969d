# What stands beside an endpoint in most stacks: people, what a bucket is told, what is watched.
resource "aws_iam_group" "callers" {
  name = "${var.prefix}-callers"
}

resource "aws_iam_group_policy" "invoke" {
  name  = "invoke"
  group = aws_iam_group.callers.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "sagemaker:InvokeEndpoint"
      Resource = aws_sagemaker_endpoint.served.arn
    }]
  })
}

resource "aws_iam_user" "caller" {
  name          = "${var.prefix}-caller"
  path          = "/callers/"
  force_destroy = true
}

resource "aws_iam_user_group_membership" "caller" {
  user   = aws_iam_user.caller.name
  groups = [aws_iam_group.callers.name]
}

resource "aws_iam_access_key" "caller" {
  user = aws_iam_user.caller.name
}

resource "aws_iam_openid_connect_provider" "ci" {
  url             = "https://token.actions.githubusercontent.com"
  client_id_list  = ["sts.amazonaws.com"]
  thumbprint_list = ["6938fd4d98bab03faadb97b34396831e3780aea1"]
}

data "aws_iam_policy" "sagemaker" {
  name = "AmazonSageMakerFullAccess"
}

resource "aws_iam_role_policy_attachment" "sagemaker" {
  role       = aws_iam_role.execution.name
  policy_arn = data.aws_iam_policy.sagemaker.arn
}

resource "aws_s3_bucket_public_access_block" "models" {
  bucket                  = aws_s3_bucket.models.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "models" {
  bucket = aws_s3_bucket.models.id
  rule { object_ownership = "BucketOwnerEnforced" }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "models" {
  bucket = aws_s3_bucket.models.id
  rule {
    apply_server_side_encryption_by_default { sse_algorithm = "AES256" }
  }
}

resource "aws_s3_bucket_versioning" "models" {
  bucket = aws_s3_bucket.models.id
  versioning_configuration { status = "Suspended" }
}

resource "aws_s3_bucket_cors_configuration" "models" {
  bucket = aws_s3_bucket.models.id
  cors_rule {
    allowed_methods = ["GET"]
    allowed_origins = ["https://example.com"]
  }
}

resource "aws_s3_object" "note" {
  bucket  = aws_s3_bucket.models.id
  key     = "notes/it's a // strange + key.txt"
  content = "a note"
  tags    = { kind = "note" }
}

resource "aws_cloudwatch_composite_alarm" "any" {
  alarm_name = "${var.prefix}-any"
  alarm_rule = "ALARM(\"${aws_cloudwatch_metric_alarm.errors.alarm_name}\")"
}

resource "aws_cloudwatch_dashboard" "endpoint" {
  dashboard_name = "${var.prefix}-endpoint"
  dashboard_body = jsonencode({
    widgets = [{
      type = "metric", x = 0, y = 0, width = 12, height = 6
      properties = {
        metrics = [["AWS/SageMaker", "Invocations", "EndpointName", aws_sagemaker_endpoint.served.name]]
        region  = "us-east-1"
      }
    }]
  })
}

resource "aws_cloudwatch_log_stream" "own" {
  name           = "notes"
  log_group_name = aws_cloudwatch_log_group.own.name
}
