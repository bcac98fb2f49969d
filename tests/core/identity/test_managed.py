"""The managed policies that come with an account: what each grants and what it does not."""

from __future__ import annotations

import pytest

from inservice.identity import managed
from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.decide import Question, decide
from inservice.identity.policies.document import MANAGED_SIZE_MAX, parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.policies.variables import ContextValue
from inservice.identity.principal import user

A = "000000000001"
ENDPOINT = f"arn:aws:sagemaker:eu-west-1:{A}:endpoint/digits"
ROLE = f"arn:aws:iam::{A}:role/service-role/anything"
SCALING_ROLE = (
    f"arn:aws:iam::{A}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
SCALING = "sagemaker.application-autoscaling.amazonaws.com"


def allows(
    name: str, action: str, resource: str = "*", context: dict[str, ContextValue] | None = None
) -> bool:
    policy = next(each for each in managed.all() if each.name == name)
    authority = Authority(user(A, "ana"), [AttachedPolicy(policy.policy, name, policy.arn)])
    return decide(authority, Question(action, resource, context or {})).allowed


def test_those_that_are_shipped() -> None:
    assert {each.arn.removeprefix("arn:aws:iam::aws:policy/") for each in managed.all()} == {
        *("AdministratorAccess", "PowerUserAccess", "ReadOnlyAccess"),
        *("AmazonSageMakerFullAccess", "AmazonSageMakerReadOnly"),
        "aws-service-role/AWSApplicationAutoscalingSageMakerEndpointPolicy",
        *("AmazonS3FullAccess", "AmazonS3ReadOnlyAccess"),
        *("CloudWatchFullAccess", "CloudWatchFullAccessV2", "CloudWatchReadOnlyAccess"),
        *("CloudWatchLogsFullAccess", "IAMFullAccess", "IAMReadOnlyAccess"),
    }


@pytest.mark.parametrize("policy", managed.all(), ids=lambda policy: policy.name)
def test_each_is_a_policy_that_a_customer_could_keep(policy: managed.ManagedPolicy) -> None:
    assert parse_policy(policy.document, PolicyKind.MANAGED).size <= MANAGED_SIZE_MAX
    assert managed.find(policy.arn) is policy
    assert policy.description


def test_one_that_there_is_not() -> None:
    assert managed.find("arn:aws:iam::aws:policy/administratoraccess") is None
    assert managed.find(f"arn:aws:iam::{A}:policy/AdministratorAccess") is None


@pytest.mark.parametrize(
    ("name", "action", "resource", "context"),
    [
        ("AdministratorAccess", "iam:CreateUser", f"arn:aws:iam::{A}:user/eve", {}),
        ("PowerUserAccess", "sagemaker:CreateEndpoint", ENDPOINT, {}),
        ("PowerUserAccess", "iam:ListRoles", "*", {}),
        ("ReadOnlyAccess", "sagemaker:DescribeEndpoint", ENDPOINT, {}),
        ("ReadOnlyAccess", "s3:GetObject", "arn:aws:s3:::b/k", {}),
        ("ReadOnlyAccess", "logs:FilterLogEvents", "*", {}),
        ("AmazonSageMakerFullAccess", "sagemaker:CreateEndpoint", ENDPOINT, {}),
        ("AmazonSageMakerFullAccess", "sagemaker:InvokeEndpoint", ENDPOINT, {}),
        ("AmazonSageMakerFullAccess", "sagemaker:ListEndpoints", "*", {}),
        (
            *("AmazonSageMakerFullAccess", "iam:PassRole", ROLE),
            {"iam:passedtoservice": "sagemaker.amazonaws.com"},
        ),
        (
            *(
                "AmazonSageMakerFullAccess",
                "iam:PassRole",
                f"arn:aws:iam::{A}:role/AmazonSageMakerX",
            ),
            {"iam:passedtoservice": "glue.amazonaws.com"},
        ),
        *(
            ("AmazonSageMakerFullAccess", "s3:GetObject", f"arn:aws:s3:::{key}", {})
            for key in ("sagemaker-eu-west-1-1/m.tar.gz", "b/SageMaker/m", "Sagemaker/m")
        ),
        (
            *("AmazonSageMakerFullAccess", "s3:GetObject", "arn:aws:s3:::models/m"),
            {"s3:existingobjecttag/sagemaker": "TRUE"},
        ),
        ("AmazonSageMakerFullAccess", "s3:ListBucket", "arn:aws:s3:::models", {}),
        (
            *("AmazonSageMakerFullAccess", "iam:CreateServiceLinkedRole", SCALING_ROLE),
            {"iam:awsservicename": SCALING},
        ),
        ("AmazonSageMakerFullAccess", "application-autoscaling:RegisterScalableTarget", "*", {}),
        ("AmazonSageMakerFullAccess", "cloudwatch:PutMetricAlarm", "*", {}),
        ("AmazonSageMakerFullAccess", "logs:GetLogEvents", "*", {}),
        ("AmazonSageMakerReadOnly", "sagemaker:DescribeEndpoint", ENDPOINT, {}),
        ("AmazonSageMakerReadOnly", "sagemaker:ListTags", ENDPOINT, {}),
        ("AmazonSageMakerReadOnly", "cloudwatch:DescribeAlarms", "*", {}),
        (
            *("AWSApplicationAutoscalingSageMakerEndpointPolicy", "cloudwatch:PutMetricAlarm"),
            *(f"arn:aws:cloudwatch:eu-west-1:{A}:alarm:TargetTracking-x", {}),
        ),
        ("AmazonS3FullAccess", "s3:DeleteBucket", "arn:aws:s3:::b", {}),
        ("AmazonS3ReadOnlyAccess", "s3:GetObject", "arn:aws:s3:::b/k", {}),
        ("CloudWatchFullAccess", "cloudwatch:PutCompositeAlarm", "*", {}),
        ("CloudWatchFullAccess", "sns:Publish", "*", {}),
        ("CloudWatchFullAccessV2", "logs:PutLogEvents", "*", {}),
        ("CloudWatchReadOnlyAccess", "cloudwatch:GetMetricData", "*", {}),
        ("CloudWatchReadOnlyAccess", "logs:StartQuery", "*", {}),
        ("CloudWatchLogsFullAccess", "logs:DeleteLogGroup", "*", {}),
        ("IAMFullAccess", "iam:CreateUser", f"arn:aws:iam::{A}:user/eve", {}),
        ("IAMReadOnlyAccess", "iam:SimulatePrincipalPolicy", f"arn:aws:iam::{A}:user/eve", {}),
    ],
)
def test_granted(name: str, action: str, resource: str, context: dict[str, ContextValue]) -> None:
    assert allows(name, action, resource, context)


@pytest.mark.parametrize(
    ("name", "action", "resource", "context"),
    [
        ("PowerUserAccess", "iam:CreateUser", f"arn:aws:iam::{A}:user/eve", {}),
        ("PowerUserAccess", "iam:PassRole", ROLE, {}),
        ("ReadOnlyAccess", "sagemaker:InvokeEndpoint", ENDPOINT, {}),
        ("ReadOnlyAccess", "s3:PutObject", "arn:aws:s3:::b/k", {}),
        ("ReadOnlyAccess", "secretsmanager:GetSecretValue", "*", {}),
        ("ReadOnlyAccess", "iam:CreateAccessKey", "*", {}),
        ("AmazonSageMakerFullAccess", "iam:PassRole", ROLE, {}),
        (
            *("AmazonSageMakerFullAccess", "iam:PassRole", ROLE),
            {"iam:passedtoservice": "lambda.amazonaws.com"},
        ),
        (
            *("AmazonSageMakerFullAccess", "iam:PassRole", ROLE),
            {"iam:passedtoservice": "glue.amazonaws.com"},
        ),
        ("AmazonSageMakerFullAccess", "sts:AssumeRole", ROLE, {}),
        ("AmazonSageMakerFullAccess", "iam:CreateRole", ROLE, {}),
        ("AmazonSageMakerFullAccess", "iam:GetRole", ROLE, {}),
        ("AmazonSageMakerFullAccess", "logs:FilterLogEvents", "*", {}),
        ("AmazonSageMakerFullAccess", "logs:StartQuery", "*", {}),
        ("AmazonSageMakerFullAccess", "kms:Decrypt", "*", {}),
        ("AmazonSageMakerFullAccess", "cloudwatch:PutCompositeAlarm", "*", {}),
        (
            *("AmazonSageMakerFullAccess", "sagemaker:CreateApp"),
            *(f"arn:aws:sagemaker:eu-west-1:{A}:app/d/u/t/n", {}),
        ),
        ("AmazonSageMakerFullAccess", "s3:GetObject", "arn:aws:s3:::models/m.tar.gz", {}),
        ("AmazonSageMakerFullAccess", "s3:DeleteBucket", "arn:aws:s3:::sagemaker-x", {}),
        (
            *("AmazonSageMakerFullAccess", "iam:CreateServiceLinkedRole", SCALING_ROLE),
            {"iam:awsservicename": "ec2.amazonaws.com"},
        ),
        ("AmazonSageMakerReadOnly", "sagemaker:InvokeEndpoint", ENDPOINT, {}),
        ("AmazonSageMakerReadOnly", "sagemaker:InvokeEndpointAsync", ENDPOINT, {}),
        ("AmazonSageMakerReadOnly", "sagemaker:CreateModel", "*", {}),
        ("AmazonSageMakerReadOnly", "sagemaker:AddTags", ENDPOINT, {}),
        (
            *("AWSApplicationAutoscalingSageMakerEndpointPolicy", "cloudwatch:PutMetricAlarm"),
            *(f"arn:aws:cloudwatch:eu-west-1:{A}:alarm:mine", {}),
        ),
        ("AmazonS3FullAccess", "sagemaker:ListEndpoints", "*", {}),
        ("AmazonS3ReadOnlyAccess", "s3:PutObject", "arn:aws:s3:::b/k", {}),
        ("CloudWatchFullAccess", "sagemaker:DescribeEndpoint", ENDPOINT, {}),
        ("CloudWatchFullAccessV2", "sns:Publish", "*", {}),
        ("CloudWatchReadOnlyAccess", "cloudwatch:PutMetricData", "*", {}),
        ("CloudWatchReadOnlyAccess", "logs:PutLogEvents", "*", {}),
        ("CloudWatchLogsFullAccess", "cloudwatch:PutMetricData", "*", {}),
        ("IAMFullAccess", "sagemaker:ListEndpoints", "*", {}),
        ("IAMReadOnlyAccess", "iam:CreateAccessKey", f"arn:aws:iam::{A}:user/eve", {}),
    ],
)
def test_not_granted(
    name: str, action: str, resource: str, context: dict[str, ContextValue]
) -> None:
    assert not allows(name, action, resource, context)
