"""One typed function for each AWS operation, by service. Importing this fills the registry."""

import inservice.operations.cloudwatch
import inservice.operations.ec2
import inservice.operations.ecr
import inservice.operations.iam
import inservice.operations.logs
import inservice.operations.own
import inservice.operations.sagemaker
import inservice.operations.sts
import inservice.operations.tagging  # noqa: F401 - each registers what it has
