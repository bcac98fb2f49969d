"""The managed policies that come with every account, as AWS has them by the same names.

They are written for this project, from what is known of what each grants: statements that say the
same for the services that are here, and for those that people's code calls beside them. What AWS's
grants for services that will never be here is left out, so a simulation denies it.

    AdministratorAccess            everything
    PowerUserAccess                everything but who may do what
    ReadOnlyAccess                 looking at everything; not what is in a secret, nor invoking
    AmazonSageMaker…               hosting, and what it needs of other services; or looking at it
    AmazonS3… CloudWatch… IAM…     the one service; or looking at it
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from inservice.identity.policies.document import Policy, parse_policy
from inservice.identity.policies.grammar import NEWER, PolicyKind


@dataclass(frozen=True, slots=True)
class ManagedPolicy:
    """A policy of AWS's own: nobody can change or delete it, everybody may attach it."""

    name: str
    description: str
    document: str  # JSON
    path: str = "/"
    version: str = "v1"

    @property
    def arn(self) -> str:
        """Of no account: `aws` stands in its place."""
        return f"arn:aws:iam::aws:policy{self.path}{self.name}"

    @property
    def policy(self) -> Policy:
        """The document, compiled."""
        return parse_policy(self.document, PolicyKind.MANAGED)


def all() -> tuple[ManagedPolicy, ...]:  # noqa: A001  # as `managed.all()` it reads well
    """All of them, by name."""
    return _ALL


def find(arn: str) -> ManagedPolicy | None:
    """The one with that ARN."""
    return _BY_ARN.get(arn)


def _allow(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str] = ("*",),
    condition: Mapping[str, Mapping[str, str | list[str]]] | None = None,
) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": list(actions),
        "Resource": list(resources),
    }
    return statement if condition is None else {**statement, "Condition": condition}


def _of(service: str, *names: str) -> list[str]:
    return [f"{service}:{name}" for name in names]


def _policy(
    name: str, description: str, *statements: Mapping[str, Any], path: str = "/"
) -> ManagedPolicy:
    document = {"Version": NEWER, "Statement": statements}
    return ManagedPolicy(name, description, json.dumps(document, indent=4), path)


_SERVICE_LINKED_ROLES: Final = "arn:aws:iam::*:role/aws-service-role/"
_SCALING_ROLE: Final = (
    f"{_SERVICE_LINKED_ROLES}sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
_SIGNALS_ROLE: Final = (
    f"{_SERVICE_LINKED_ROLES}application-signals.cloudwatch.amazonaws.com/"
    "AWSServiceRoleForCloudWatchApplicationSignals"
)
_SPELLINGS: Final = ("SageMaker", "Sagemaker", "sagemaker")
"""Of the word that a bucket, function or topic has in its name to be SageMaker's. No two of them
are one pattern: resources mind their case."""

# ── everything ───────────────────────────────────────────────────────────────────────────────────

_ADMINISTRATOR: Final = _policy(
    "AdministratorAccess", "Every action on every resource.", _allow("Everything", ["*"])
)

_POWER_USER: Final = _policy(
    "PowerUserAccess",
    "Every action but those that decide who may do what.",
    {
        "Sid": "EverythingElse",
        "Effect": "Allow",
        "NotAction": ["iam:*", "organizations:*", "account:*"],
        "Resource": "*",
    },
    _allow(
        "WhatServicesNeedOfIt",
        [
            *_of("iam", "CreateServiceLinkedRole", "DeleteServiceLinkedRole", "ListRoles"),
            *_of("organizations", "DescribeOrganization"),
            *_of("account", "ListRegions", "GetAccountInformation", "GetPrimaryEmail"),
        ],
    ),
)

_READ_ONLY: Final = _policy(
    "ReadOnlyAccess",
    "Looking at every resource, and changing none.",
    _allow(
        "Looking",
        [
            *_of("application-autoscaling", "Describe*", "ListTagsForResource"),
            *_of("autoscaling", "Describe*", "GetPredictiveScalingForecast"),
            *_of("cloudformation", "Describe*", "Get*", "List*"),
            *_of("cloudtrail", "Describe*", "Get*", "List*", "LookupEvents"),
            *_of("cloudwatch", "Describe*", "Get*", "List*"),
            *_of("ec2", "Describe*", "Get*", "List*"),
            *_of("ecr", "BatchCheck*", "BatchGet*", "Describe*", "Get*", "List*"),
            *_of("elasticloadbalancing", "Describe*"),
            *_of("events", "Describe*", "List*", "TestEventPattern"),
            *_of("iam", "Generate*", "Get*", "List*", "Simulate*"),
            *_of("kms", "Describe*", "Get*", "List*"),
            *_of("lambda", "Get*", "List*"),
            *_of("logs", "Describe*", "FilterLogEvents", "Get*", "List*"),
            *_of("logs", "StartLiveTail", "StartQuery", "StopLiveTail", "StopQuery"),
            *_of("logs", "TestMetricFilter"),
            *_of("s3", "DescribeJob", "Get*", "List*"),
            *_of("sagemaker", "Describe*", "GetSearchSuggestions", "List*", "Search"),
            *_of("secretsmanager", "Describe*", "GetResourcePolicy", "List*"),
            *_of("sns", "Check*", "Get*", "List*"),
            *_of("sqs", "Get*", "List*"),
            *_of("sts", "GetAccessKeyInfo", "GetCallerIdentity", "GetSessionToken"),
            *_of("tag", "Get*"),
        ],
    ),
)

# ── SageMaker ────────────────────────────────────────────────────────────────────────────────────

_SAGEMAKER_FULL: Final = _policy(
    "AmazonSageMakerFullAccess",
    "SageMaker, and what hosting with it needs of other services.",
    {
        "Sid": "SageMakerButItsDomains",
        "Effect": "Allow",
        "Action": ["sagemaker:*", "sagemaker-geospatial:*"],
        "NotResource": [
            f"arn:aws:sagemaker:*:*:{kind}/*"
            for kind in (
                *("domain", "user-profile", "app", "space", "partner-app"),
                *("flow-definition", "training-plan", "reserved-capacity"),
            )
        ],
    },
    _allow(
        "OtherServices",
        [
            *_of("application-autoscaling", "DeleteScalingPolicy", "DeleteScheduledAction"),
            *_of("application-autoscaling", "DeregisterScalableTarget"),
            *_of("application-autoscaling", "DescribeScalableTargets"),
            *_of("application-autoscaling", "DescribeScalingActivities"),
            *_of("application-autoscaling", "DescribeScalingPolicies"),
            *_of("application-autoscaling", "DescribeScheduledActions"),
            *_of("application-autoscaling", "PutScalingPolicy", "PutScheduledAction"),
            *_of("application-autoscaling", "RegisterScalableTarget"),
            *_of("cloudwatch", "DeleteAlarms", "DescribeAlarms", "GetMetricData"),
            *_of("cloudwatch", "GetMetricStatistics", "ListMetrics"),
            *_of("cloudwatch", "PutMetricAlarm", "PutMetricData"),
            *_of("ec2", "CreateNetworkInterface", "CreateNetworkInterfacePermission"),
            *_of("ec2", "CreateVpcEndpoint", "DeleteNetworkInterface"),
            *_of("ec2", "DeleteNetworkInterfacePermission", "DescribeDhcpOptions"),
            *_of("ec2", "DescribeNetworkInterfaces", "DescribeRouteTables"),
            *_of("ec2", "DescribeSecurityGroups", "DescribeSubnets"),
            *_of("ec2", "DescribeVpcEndpoints", "DescribeVpcs"),
            *_of("ecr", "BatchCheckLayerAvailability", "BatchGetImage", "CreateRepository"),
            *_of("ecr", "Describe*", "GetAuthorizationToken", "GetDownloadUrlForLayer"),
            *_of("ecr", "StartImageScan"),
            *_of("iam", "ListRoles"),
            *_of("kms", "DescribeKey", "ListAliases"),
            *_of("lambda", "ListFunctions"),
            *_of("logs", "CreateLogDelivery", "CreateLogGroup", "CreateLogStream"),
            *_of("logs", "DeleteLogDelivery", "Describe*", "GetLogDelivery", "GetLogEvents"),
            *_of("logs", "ListLogDeliveries", "PutLogEvents", "PutResourcePolicy"),
            *_of("logs", "UpdateLogDelivery"),
            *_of("secretsmanager", "ListSecrets"),
            *_of("sns", "ListTopics"),
            *_of("tag", "GetResources"),
        ],
    ),
    _allow(
        "ItsRepositories",
        [
            *_of("ecr", "BatchDeleteImage", "CompleteLayerUpload", "DeleteRepository"),
            *_of("ecr", "DeleteRepositoryPolicy", "InitiateLayerUpload", "PutImage"),
            *_of("ecr", "SetRepositoryPolicy", "UploadLayerPart"),
        ],
        ["arn:aws:ecr:*:*:repository/*sagemaker*"],
    ),
    _allow(
        "ItsObjects",
        _of("s3", "AbortMultipartUpload", "DeleteObject", "GetObject", "PutObject"),
        [f"arn:aws:s3:::*{word}*" for word in (*_SPELLINGS, "aws-glue")],
    ),
    _allow(
        "ObjectsWithItsTag",
        ["s3:GetObject"],
        ["arn:aws:s3:::*"],
        {"StringEqualsIgnoreCase": {"s3:ExistingObjectTag/SageMaker": "true"}},
    ),
    _allow(
        "Buckets",
        [
            *_of("s3", "CreateBucket", "GetBucketCors", "GetBucketLocation"),
            *_of("s3", "ListAllMyBuckets", "ListBucket", "PutBucketCors"),
        ],
    ),
    _allow(
        "ItsAccessControlLists",
        _of("s3", "GetBucketAcl", "PutObjectAcl"),
        [f"arn:aws:s3:::*{word}*" for word in _SPELLINGS],
    ),
    _allow(
        "ItsFunctions",
        ["lambda:InvokeFunction"],
        [f"arn:aws:lambda:*:*:function:*{word}*" for word in (*_SPELLINGS, "LabelingFunction")],
    ),
    _allow(
        "RoleOfItsScaling",
        ["iam:CreateServiceLinkedRole"],
        [_SCALING_ROLE],
        {"StringLike": {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"}},
    ),
    _allow(
        "ItsTopics",
        _of("sns", "CreateTopic", "Publish", "Subscribe"),
        [f"arn:aws:sns:*:*:*{word}*" for word in _SPELLINGS],
    ),
    _allow(
        "RolesForItsNeighbours",
        ["iam:PassRole"],
        ["arn:aws:iam::*:role/*AmazonSageMaker*"],
        {
            "StringEquals": {
                "iam:PassedToService": [
                    "glue.amazonaws.com",
                    "robomaker.amazonaws.com",
                    "states.amazonaws.com",
                ]
            }
        },
    ),
    _allow(
        "RolesForItself",
        ["iam:PassRole"],
        ["arn:aws:iam::*:role/*"],
        {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    ),
)

_SAGEMAKER_READ_ONLY: Final = _policy(
    "AmazonSageMakerReadOnly",
    "Looking at what SageMaker has; not invoking it.",
    _allow(
        "Looking",
        [
            *_of("application-autoscaling", "DescribeScalableTargets"),
            *_of("application-autoscaling", "DescribeScalingActivities"),
            *_of("application-autoscaling", "DescribeScalingPolicies"),
            *_of("application-autoscaling", "DescribeScheduledActions"),
            *_of("cloudwatch", "DescribeAlarms"),
            *_of("ecr", "Describe*"),
            *_of("sagemaker", "BatchGetMetrics", "Describe*", "GetSearchSuggestions"),
            *_of("sagemaker", "List*", "Search"),
        ],
    ),
)

_SAGEMAKER_SCALING: Final = _policy(
    "AWSApplicationAutoscalingSageMakerEndpointPolicy",
    "For the role by which Application Auto Scaling changes what SageMaker hosts.",
    _allow(
        "WhatIsHosted",
        [
            *_of("cloudwatch", "DescribeAlarms", "GetMetricData"),
            *_of("sagemaker", "DescribeEndpoint", "DescribeEndpointConfig"),
            *_of("sagemaker", "DescribeInferenceComponent"),
            *_of("sagemaker", "UpdateEndpointWeightsAndCapacities"),
            *_of("sagemaker", "UpdateInferenceComponentRuntimeConfig"),
        ],
    ),
    _allow(
        "AlarmsOfItsOwn",
        _of("cloudwatch", "DeleteAlarms", "PutMetricAlarm"),
        ["arn:aws:cloudwatch:*:*:alarm:TargetTracking*"],
    ),
    path="/aws-service-role/",
)

# ── one service ──────────────────────────────────────────────────────────────────────────────────

_S3_FULL: Final = _policy(
    "AmazonS3FullAccess",
    "Every bucket and every object.",
    _allow("Storage", ["s3:*", "s3-object-lambda:*"]),
)

_S3_READ_ONLY: Final = _policy(
    "AmazonS3ReadOnlyAccess",
    "Reading every bucket and every object.",
    _allow(
        "Reading",
        [*_of("s3", "Describe*", "Get*", "List*"), *_of("s3-object-lambda", "Get*", "List*")],
    ),
)

_CLOUDWATCH_FULL: Final = _policy(
    "CloudWatchFullAccess",
    "Metrics, alarms and logs; looking at what they are of.",
    _allow(
        "Watching",
        [
            *_of("autoscaling", "Describe*"),
            *_of("cloudwatch", "*"),
            *_of("iam", "GetPolicy", "GetPolicyVersion", "GetRole"),
            *_of("logs", "*"),
            *_of("oam", "ListSinks"),
            *_of("sns", "*"),
        ],
    ),
    _allow(
        "RoleOfItsEvents",
        ["iam:CreateServiceLinkedRole"],
        [f"{_SERVICE_LINKED_ROLES}events.amazonaws.com/AWSServiceRoleForCloudWatchEvents*"],
        {"StringLike": {"iam:AWSServiceName": "events.amazonaws.com"}},
    ),
)

_CLOUDWATCH_FULL_2: Final = _policy(
    "CloudWatchFullAccessV2",
    "Metrics, alarms and logs; of topics only what alarms need.",
    _allow(
        "Watching",
        [
            *_of("application-autoscaling", "DescribeScalingPolicies"),
            *_of("application-signals", "*"),
            *_of("autoscaling", "DescribeAutoScalingGroups", "DescribePolicies"),
            *_of("cloudwatch", "*"),
            *_of("logs", "*"),
            *_of("oam", "ListSinks"),
            *_of("rum", "*"),
            *_of("sns", "CreateTopic", "ListSubscriptions", "ListSubscriptionsByTopic"),
            *_of("sns", "ListTopics", "Subscribe"),
            *_of("synthetics", "*"),
            *_of("xray", "*"),
        ],
    ),
    _allow(
        "RoleOfItsSignals",
        ["iam:CreateServiceLinkedRole"],
        [_SIGNALS_ROLE],
        {"StringLike": {"iam:AWSServiceName": "application-signals.cloudwatch.amazonaws.com"}},
    ),
)

_CLOUDWATCH_READ_ONLY: Final = _policy(
    "CloudWatchReadOnlyAccess",
    "Looking at metrics, alarms and logs.",
    _allow(
        "Looking",
        [
            *_of("application-autoscaling", "DescribeScalingPolicies"),
            *_of("autoscaling", "Describe*"),
            *_of("cloudwatch", "Describe*", "Get*", "List*"),
            *_of("logs", "Describe*", "FilterLogEvents", "Get*", "List*"),
            *_of("logs", "StartLiveTail", "StartQuery", "StopLiveTail", "StopQuery"),
            *_of("logs", "TestMetricFilter"),
            *_of("oam", "ListSinks"),
            *_of("sns", "Get*", "List*"),
        ],
    ),
)

_LOGS_FULL: Final = _policy(
    "CloudWatchLogsFullAccess",
    "Logs, and the dashboards that they are shown on.",
    _allow(
        "Logs",
        [
            *_of("cloudwatch", "GenerateQuery", "GenerateQueryResultsSummary"),
            *_of("logs", "*"),
        ],
    ),
)

_IAM_FULL: Final = _policy(
    "IAMFullAccess",
    "Who may do what, and looking at the organization it is in.",
    _allow(
        "Everybody",
        [
            *_of("iam", "*"),
            *_of("organizations", "DescribeAccount", "DescribeOrganization"),
            *_of("organizations", "DescribeOrganizationalUnit", "DescribePolicy"),
            *_of("organizations", "ListChildren", "ListParents", "ListPolicies"),
            *_of("organizations", "ListPoliciesForTarget", "ListRoots"),
            *_of("organizations", "ListTargetsForPolicy"),
        ],
    ),
)

_IAM_READ_ONLY: Final = _policy(
    "IAMReadOnlyAccess",
    "Looking at who may do what.",
    _allow(
        "Looking",
        [
            *_of("iam", "GenerateCredentialReport", "GenerateServiceLastAccessedDetails"),
            *_of("iam", "Get*", "List*", "SimulateCustomPolicy", "SimulatePrincipalPolicy"),
        ],
    ),
)

_ALL: Final = (
    _SAGEMAKER_SCALING,
    _ADMINISTRATOR,
    _S3_FULL,
    _S3_READ_ONLY,
    _SAGEMAKER_FULL,
    _SAGEMAKER_READ_ONLY,
    _CLOUDWATCH_FULL,
    _CLOUDWATCH_FULL_2,
    _LOGS_FULL,
    _CLOUDWATCH_READ_ONLY,
    _IAM_FULL,
    _IAM_READ_ONLY,
    _POWER_USER,
    _READ_ONLY,
)
_BY_ARN: Final = {each.arn: each for each in _ALL}
