"""Which operations the audit trail tells of, and what it names."""

from __future__ import annotations

import re

import pytest

from inservice.operations import registry
from inservice.operations.registry import Operation

from .conftest import NothingRuns  # noqa: F401 - importing it registers every operation

NOT_AUDITED = re.compile(
    r"(cloudwatch|iam|inservice|logs|sagemaker|sts|application-autoscaling):"
    r"(Describe|List|Filter|Simulate|Plan)[A-Z]\w+"
    r"|(cloudwatch):Get(Dashboard|MetricData|MetricStatistics)"
    r"|iam:Get(AccessKeyLastUsed|Account\w+|ContextKeys\w+|Group|GroupPolicy|LoginProfile|Policy"
    r"|PolicyVersion|Role|RolePolicy|ServiceLinkedRoleDeletionStatus|User|UserPolicy"
    r"|OpenIDConnectProvider)"
    r"|logs:GetLogEvents"
    r"|sts:(GetCallerIdentity|GetAccessKeyInfo|DecodeAuthorizationMessage)"
    r"|cloudwatch:PutMetricData|logs:PutLogEvents"
    r"|ec2:DescribeInstanceTypes|ecr:(DescribeRepositories|GetAuthorizationToken)|tag:GetResources"
)
"""All that may be called without a trace, one by one where the verb alone does not say it."""


@pytest.mark.parametrize("operation", registry.operations(), ids=lambda each: each.action)
def test_whatever_is_not_known_to_change_nothing_is_audited(operation: Operation) -> None:
    assert operation.is_audited == (NOT_AUDITED.fullmatch(operation.action) is None)


@pytest.mark.parametrize(
    ("service", "name", "audited"),
    [
        ("sagemaker", "CreateModel", True),
        ("sagemaker", "StopSomethingNew", True),
        ("sagemaker", "Frobnicate", True),
        ("sts", "AssumeRole", True),
        ("sts", "AssumeRoleWithWebIdentity", True),
        ("sts", "GetSessionToken", True),
        ("sts", "GetFederationToken", True),
        ("sts", "GetCallerIdentity", False),
        ("iam", "GetUser", False),
        ("logs", "PutLogEvents", False),
        ("cloudwatch", "PutMetricAlarm", True),
        ("application-autoscaling", "RegisterScalableTarget", True),
    ],
)
def test_a_new_verb_is_audited_until_somebody_thought_about_it(
    service: str, name: str, audited: bool
) -> None:
    assert Operation(service, name, lambda call: None, ()).is_audited == audited
