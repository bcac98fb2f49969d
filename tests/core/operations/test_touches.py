"""What each operation asks for before it is performed: actions, ARNs, condition keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from inservice.identity.decide import Question
from inservice.operations import registry
from inservice.operations.live import Live
from inservice.operations.touches import asked
from inservice.store.base import Store
from tests.core.operations.conftest import ACCOUNT, REGION, Perform

SAGEMAKER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
ALARM = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm"
GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/runs-models"

OPEN_TO_ALL = {("sts", "GetCallerIdentity"), ("sts", "GetSessionToken")}
"""AWS says so: they need no permission, and none can be denied."""


def questions(
    store: Store, service: str, name: str, region: str = REGION, **members: Any
) -> list[Question]:
    operation = registry.find(service, name)
    assert operation is not None
    call = registry.Call(
        account=ACCOUNT,
        region=region,
        principal=f"arn:aws:iam::{ACCOUNT}:user/ana",
        request_id="00000000-0000-0000-0000-000000000000",
        now=1_000.0,
        store=store,
        live=cast(Live, None),
    )
    return [question for question, _ in asked(operation, call, members)]


def shown(question: Question) -> tuple[str, str, Mapping[str, Any]]:
    return question.action, question.resource, question.context


def test_every_operation_says_what_it_touches() -> None:
    silent = {(one.service, one.name) for one in registry.operations() if not one.on}
    assert silent == OPEN_TO_ALL


ONE_RESOURCE: list[tuple[str, str, Mapping[str, Any], str]] = [
    ("sagemaker", "DescribeModel", {"ModelName": "m"}, f"{SAGEMAKER}:model/m"),
    ("sagemaker", "DeleteModel", {"ModelName": "Big-M"}, f"{SAGEMAKER}:model/Big-M"),
    ("sagemaker", "ListModels", {}, "*"),
    ("sagemaker", "ListEndpoints", {"NameContains": "x"}, "*"),
    ("sagemaker", "ListEndpointConfigs", {}, "*"),
    (
        "sagemaker",
        "DescribeEndpointConfig",
        {"EndpointConfigName": "c"},
        f"{SAGEMAKER}:endpoint-config/c",
    ),
    ("sagemaker", "DeleteEndpoint", {"EndpointName": "e"}, f"{SAGEMAKER}:endpoint/e"),
    (
        "sagemaker",
        "UpdateEndpointWeightsAndCapacities",
        {"EndpointName": "e", "DesiredWeightsAndCapacities": []},
        f"{SAGEMAKER}:endpoint/e",
    ),
    ("sagemaker", "ListTags", {"ResourceArn": f"{SAGEMAKER}:model/m"}, f"{SAGEMAKER}:model/m"),
    ("sagemaker", "ListTags", {"ResourceArn": "nonsense"}, "nonsense"),
    ("inservice", "PauseDeployment", {"EndpointName": "e"}, f"{SAGEMAKER}:endpoint/e"),
    ("inservice", "DescribeServer", {}, "*"),
    ("cloudwatch", "DescribeAlarms", {}, f"{ALARM}:*"),
    ("cloudwatch", "DescribeAlarms", {"AlarmNames": ["a"]}, f"{ALARM}:a"),
    ("cloudwatch", "SetAlarmState", {"AlarmName": "a"}, f"{ALARM}:a"),
    ("cloudwatch", "DescribeAlarmHistory", {}, f"{ALARM}:*"),
    ("cloudwatch", "GetMetricData", {"MetricDataQueries": []}, "*"),
    (
        "cloudwatch",
        "GetDashboard",
        {"DashboardName": "d"},
        f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/d",
    ),
    ("cloudwatch", "ListTagsForResource", {"ResourceARN": f"{ALARM}:a:b"}, f"{ALARM}:a:b"),
    ("logs", "DescribeLogGroups", {}, f"{GROUP}::log-stream:"),
    ("logs", "DescribeLogGroups", {"logGroupIdentifiers": ["g"]}, f"{GROUP}:g:log-stream:"),
    (
        "logs",
        "DescribeLogStreams",
        {"logGroupIdentifier": f"{GROUP}:g:*"},
        f"{GROUP}:g:log-stream:",
    ),
    ("logs", "FilterLogEvents", {"logGroupName": "g"}, f"{GROUP}:g:log-stream:"),
    (
        "logs",
        "PutLogEvents",
        {"logGroupName": "g", "logStreamName": "s"},
        f"{GROUP}:g:log-stream:s",
    ),
    ("logs", "TagLogGroup", {"logGroupName": "g", "tags": {"a": "b"}}, f"{GROUP}:g"),
]


@pytest.mark.parametrize(
    ("service", "name", "members", "arn"),
    ONE_RESOURCE,
    ids=[f"{one[1]}-{number}" for number, one in enumerate(ONE_RESOURCE)],
)
def test_what_touches_one_thing_asks_for_it(
    store: Store, service: str, name: str, members: Mapping[str, Any], arn: str
) -> None:
    (question,) = questions(store, service, name, **members)
    assert (question.action, question.resource) == (f"{service}:{name}", arn)


def test_several_names_are_several_questions(store: Store) -> None:
    asked_for = questions(store, "cloudwatch", "DeleteAlarms", AlarmNames=["a", "b"])
    assert [one.resource for one in asked_for] == [f"{ALARM}:a", f"{ALARM}:b"]
    asked_for = questions(store, "cloudwatch", "DeleteDashboards", DashboardNames=["d", "e"])
    assert [one.resource.rpartition("/")[2] for one in asked_for] == ["d", "e"]


@pytest.mark.parametrize("name", ["CreateEndpoint", "UpdateEndpoint"])
def test_an_endpoint_and_its_config_must_both_be_allowed(store: Store, name: str) -> None:
    members = {"EndpointName": "e", "EndpointConfigName": "c"}
    assert [
        (one.action, one.resource) for one in questions(store, "sagemaker", name, **members)
    ] == [
        (f"sagemaker:{name}", f"{SAGEMAKER}:endpoint/e"),
        (f"sagemaker:{name}", f"{SAGEMAKER}:endpoint-config/c"),
    ]


def test_an_arn_has_the_partition_of_its_region(store: Store) -> None:
    (question,) = questions(store, "sagemaker", "DescribeModel", region="cn-north-1", ModelName="m")
    assert question.resource == f"arn:aws-cn:sagemaker:cn-north-1:{ACCOUNT}:model/m"


def test_tags_of_a_request_are_condition_keys_and_want_a_permission_of_their_own(
    store: Store,
) -> None:
    tags = [{"Key": "Team", "Value": "search"}, {"Key": "stage", "Value": ""}]
    creating, tagging = questions(
        store, "sagemaker", "CreateModel", ModelName="m", PrimaryContainer={}, Tags=tags
    )
    given = {
        "aws:requesttag/team": "search",
        "aws:requesttag/stage": "",
        "aws:tagkeys": ("Team", "stage"),
        "aws:resourcetag/team": "search",
        "aws:resourcetag/stage": "",
        "sagemaker:resourcetag/team": "search",
        "sagemaker:resourcetag/stage": "",
    }
    assert shown(creating) == ("sagemaker:CreateModel", f"{SAGEMAKER}:model/m", given)
    assert (tagging.action, tagging.resource) == ("sagemaker:AddTags", creating.resource)
    assert tagging.context == {**given, "sagemaker:taggingaction": "CreateModel"}


def test_a_role_that_is_handed_over_must_be_allowed_to_be(store: Store) -> None:
    _, passing = questions(store, "sagemaker", "CreateModel", ModelName="m", ExecutionRoleArn=ROLE)
    assert shown(passing) == (
        "iam:PassRole",
        ROLE,
        {"iam:passedtoservice": "sagemaker.amazonaws.com"},
    )


def test_an_endpoint_config_is_judged_by_what_is_in_it(store: Store) -> None:
    variants = [
        {"VariantName": "a", "ModelName": "m", "InstanceType": "ml.m5.large"},
        {"VariantName": "b", "ModelName": "n", "InstanceType": "ml.g5.xlarge"},
        {
            "VariantName": "c",
            "ModelName": "m",
            "InstanceType": "ml.m5.large",
            "InstancePools": [{"InstanceType": "ml.p5.48xlarge", "Priority": 1}],
        },
    ]
    first, second, passing = questions(
        store,
        "sagemaker",
        "CreateEndpointConfig",
        EndpointConfigName="c",
        ProductionVariants=variants,
        ExecutionRoleArn=ROLE,
        KmsKeyId="key",
        VpcConfig={"Subnets": ["s-1", "s-2"], "SecurityGroupIds": ["g"]},
        EnableNetworkIsolation=True,
    )
    shared = {
        "sagemaker:instancetypes": ("ml.m5.large", "ml.g5.xlarge", "ml.p5.48xlarge"),
        "sagemaker:volumekmskeyarn": "key",
        "sagemaker:volumekmskey": "key",
        "sagemaker:vpcsubnets": ("s-1", "s-2"),
        "sagemaker:vpcsecuritygroupids": ("g",),
        "sagemaker:networkisolation": "true",
    }
    assert first.context == {**shared, "sagemaker:modelarn": f"{SAGEMAKER}:model/m"}
    assert second.context == {**shared, "sagemaker:modelarn": f"{SAGEMAKER}:model/n"}
    assert {one.resource for one in (first, second)} == {f"{SAGEMAKER}:endpoint-config/c"}
    assert passing.action == "iam:PassRole"


def test_a_resource_brings_its_own_tags(store: Store, perform: Perform) -> None:
    perform(
        "CreateModel",
        ModelName="m",
        ExecutionRoleArn=ROLE,
        PrimaryContainer={
            "Image": f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1",
            "ModelDataUrl": "s3://models/m.tar.gz",
        },
        Tags=[{"Key": "Team", "Value": "search"}],
    )
    (question,) = questions(store, "sagemaker", "DescribeModel", ModelName="m")
    assert question.context == {
        "aws:resourcetag/team": "search",
        "sagemaker:resourcetag/team": "search",
    }
    # One that is made over it does not bring tags that would let it through.
    creating, _ = questions(
        store, "sagemaker", "CreateModel", ModelName="m", Tags=[{"Key": "Team", "Value": "mine"}]
    )
    assert creating.context["aws:resourcetag/team"] == "search"
    assert creating.context["aws:requesttag/team"] == "mine"


def test_tag_keys_that_are_taken_away(store: Store) -> None:
    arn = f"{SAGEMAKER}:model/m"
    (question,) = questions(store, "sagemaker", "DeleteTags", ResourceArn=arn, TagKeys=["a", "b"])
    assert question.context == {"aws:tagkeys": ("a", "b")}
    (question,) = questions(store, "logs", "UntagLogGroup", logGroupName="g", tags=["a"])
    assert question.context == {"aws:tagkeys": ("a",)}


def test_metrics_are_narrowed_by_namespace_and_alarms_by_actions(store: Store) -> None:
    (question,) = questions(store, "cloudwatch", "PutMetricData", Namespace="Shop")
    assert shown(question) == (
        "cloudwatch:PutMetricData",
        "*",
        {"cloudwatch:namespace": "Shop"},
    )
    alarming, tagging = questions(
        store,
        "cloudwatch",
        "PutMetricAlarm",
        AlarmName="a",
        AlarmActions=["http://one", "http://two"],
        OKActions=["http://one"],
        Tags=[{"Key": "k", "Value": "v"}],
    )
    assert alarming.context["cloudwatch:alarmactions"] == ("http://one", "http://two")
    assert alarming.context["aws:resourcetag/k"] == "v"
    assert (tagging.action, tagging.resource) == ("cloudwatch:TagResource", f"{ALARM}:a")
