"""GetResources: everything that has tags, by type, by tag, by name, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from inservice.errors import InvalidParameterException
from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.instance_logs.groups import FileGroups
from inservice.operations import registry
from inservice.operations.live import Live
from inservice.store.base import Store
from inservice.telemetry.database import open_metrics
from inservice.telemetry.recorder import Recorder
from tests.core.operations.conftest import ACCOUNT, REGION, NothingRuns

OTHER = "444455556666"
SAGEMAKER = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
ALARM: dict[str, Any] = {
    "Namespace": "n",
    "MetricName": "x",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


class Runs(NothingRuns):
    """Records, and where alarms and log groups have their own."""

    def __init__(self, directory: Path) -> None:
        self.logs = FileGroups(directory / "logs")
        self.metrics = Recorder(open_metrics(f"sqlite:///{directory / 'metrics.db'}"), 0.0)

    def bucket_tags(self, account_id: str, region: str) -> dict[str, dict[str, str]]:
        if (account_id, region) != (ACCOUNT, REGION):
            return {}
        return {"a.bucket": {"team": "search", "stage": "lab"}}


class Place:
    """A store, and operations of any service on it."""

    def __init__(self, store: Store, runs: Runs) -> None:
        self.store, self.runs = store, runs

    def ask(
        self, service: str, name: str, *, account: str = ACCOUNT, region: str = REGION, **of: Any
    ) -> Mapping[str, Any]:
        operation = registry.find(service, name)
        assert operation is not None
        call = registry.Call(
            account=account,
            region=region,
            principal=f"arn:aws:iam::{account}:root",
            request_id="00000000-0000-0000-0000-000000000000",
            now=1_000.0,
            store=self.store,
            live=cast(Live, self.runs),
        )
        return operation.perform(call, of)

    def tag(self, kind: ResourceKind, name: str, account: str = ACCOUNT, **tags: str) -> None:
        with self.store.transaction() as tx:
            tx.tags.set(ResourceArn(kind, account, REGION, name), tags)

    def found(self, **of: Any) -> list[str]:
        answer = self.ask("resourcegroupstaggingapi", "GetResources", **of)
        return [each["ResourceARN"] for each in answer["ResourceTagMappingList"]]


@pytest.fixture
def place(store: Store, tmp_path: Path) -> Iterator[Place]:
    made = Place(store, Runs(tmp_path))
    made.tag(ResourceKind.MODEL, "m", team="search", stage="prod")
    made.tag(ResourceKind.ENDPOINT, "e", team="search", stage="test")
    made.tag(ResourceKind.ENDPOINT_CONFIG, "c", team="ads")
    made.tag(ResourceKind.MODEL, "m", account=OTHER, team="search")
    tags = [{"Key": "team", "Value": "ops"}]
    made.ask("cloudwatch", "PutMetricAlarm", AlarmName="a:b", Tags=tags, **ALARM)
    made.ask("cloudwatch", "PutMetricAlarm", AlarmName="none", **ALARM)
    made.ask("logs", "CreateLogGroup", logGroupName="/g", tags={"team": "ops"})
    made.ask("iam", "CreatePolicy", PolicyName="p", PolicyDocument=POLICY, Tags=tags)
    yield made
    made.runs.metrics.close()


MODEL, ENDPOINT, CONFIG = (f"{SAGEMAKER}:{each}" for each in ("model/m", "endpoint/e", "x"))
CONFIG = f"{SAGEMAKER}:endpoint-config/c"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/g"
CLOUDWATCH = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:a:b"
IAM = f"arn:aws:iam::{ACCOUNT}:policy/p"
BUCKET = "arn:aws:s3:::a.bucket"
EVERYTHING = sorted([MODEL, ENDPOINT, CONFIG, LOGS, CLOUDWATCH, IAM, BUCKET])


def of(key: str, *values: str) -> dict[str, Any]:
    return {"Key": key, "Values": list(values)} if values else {"Key": key}


@pytest.mark.parametrize(
    ("asked", "arns"),
    [
        ({}, EVERYTHING),
        ({"ResourceTypeFilters": ["sagemaker:model"]}, [MODEL]),
        ({"ResourceTypeFilters": ["sagemaker:endpoint"]}, [ENDPOINT]),
        ({"ResourceTypeFilters": ["sagemaker"]}, [CONFIG, ENDPOINT, MODEL]),
        ({"ResourceTypeFilters": ["logs:log-group", "cloudwatch:alarm"]}, [CLOUDWATCH, LOGS]),
        ({"ResourceTypeFilters": ["iam:policy"]}, [IAM]),
        ({"ResourceTypeFilters": ["ec2:instance", "dynamodb"]}, []),
        ({"ResourceTypeFilters": ["s3"]}, [BUCKET]),
        ({"ResourceTypeFilters": ["s3:bucket"]}, [BUCKET]),
        ({"ResourceTypeFilters": ["s3:object", "s3:a.bucket"]}, []),
        ({"ResourceARNList": [BUCKET]}, [BUCKET]),
        ({"TagFilters": [of("stage", "lab")]}, [BUCKET]),
        ({"TagFilters": [of("team", "search")]}, [BUCKET, ENDPOINT, MODEL]),
        ({"TagFilters": [of("team", "search", "ads")]}, [BUCKET, CONFIG, ENDPOINT, MODEL]),
        ({"TagFilters": [of("stage")]}, [BUCKET, ENDPOINT, MODEL]),
        ({"TagFilters": [of("stage"), of("stage", "prod")]}, [MODEL]),
        ({"TagFilters": [of("Team")]}, []),
        ({"TagFilters": [of("team", "Search")]}, []),
        (
            {"TagFilters": [of("team", "search")], "ResourceTypeFilters": ["sagemaker:model"]},
            [MODEL],
        ),
        ({"ResourceARNList": [ENDPOINT, f"{SAGEMAKER}:model/none", "nonsense"]}, [ENDPOINT]),
        ({"ResourceARNList": [MODEL.replace(ACCOUNT, OTHER)]}, []),
        ({"IncludeComplianceDetails": True, "ExcludeCompliantResources": True}, []),
    ],
)
def test_what_is_found(place: Place, asked: dict[str, Any], arns: list[str]) -> None:
    assert place.found(**asked) == arns


def test_a_line_has_all_tags(place: Place) -> None:
    (line,) = place.ask(
        "resourcegroupstaggingapi",
        "GetResources",
        ResourceTypeFilters=["sagemaker:model"],
        IncludeComplianceDetails=True,
    )["ResourceTagMappingList"]
    assert line["Tags"] == [
        {"Key": "stage", "Value": "prod"},
        {"Key": "team", "Value": "search"},
    ]
    assert line["ComplianceDetails"]["ComplianceStatus"] is True


def test_each_account_and_region_has_its_own(place: Place) -> None:
    assert place.found(account=OTHER) == [MODEL.replace(ACCOUNT, OTHER)]
    assert place.found(region="eu-west-1") == []
    made = [{"Key": "team", "Value": "x"}]
    place.ask(
        "cloudwatch", "PutMetricAlarm", region="cn-north-1", AlarmName="a", Tags=made, **ALARM
    )
    assert place.found(region="cn-north-1") == [
        f"arn:aws-cn:cloudwatch:cn-north-1:{ACCOUNT}:alarm:a",
        f"arn:aws-cn:iam::{ACCOUNT}:policy/p",
    ]


def test_what_is_deleted_is_not_found(place: Place) -> None:
    place.ask("logs", "DeleteLogGroup", logGroupName="/g")
    place.ask("cloudwatch", "DeleteAlarms", AlarmNames=["a:b"])
    place.ask("iam", "DeletePolicy", PolicyArn=IAM)
    assert place.found() == [BUCKET, CONFIG, ENDPOINT, MODEL]


@pytest.mark.parametrize("size", [1, 2, 4, 5, 6, 100])
def test_pages_have_everything_once(place: Place, size: int) -> None:
    found, token, pages = list[str](), "", 0
    while True:
        answer = place.ask(
            "resourcegroupstaggingapi",
            "GetResources",
            ResourcesPerPage=size,
            PaginationToken=token,
        )
        lines = [each["ResourceARN"] for each in answer["ResourceTagMappingList"]]
        assert 0 < len(lines) <= size
        found += lines
        pages, token = pages + 1, answer["PaginationToken"]
        if not token:
            break
    assert found == EVERYTHING
    assert pages == -(-len(EVERYTHING) // size)


def test_a_page_has_so_many_tags_and_splits_no_resource(place: Place) -> None:
    many = {f"k{n:03}": "v" for n in range(45)}
    for name in ("x1", "x2", "x3", "x4"):
        place.tag(ResourceKind.MODEL, name, **many)
    asked: dict[str, Any] = {"ResourceTypeFilters": ["sagemaker:model"], "TagsPerPage": 100}
    answer = place.ask("resourcegroupstaggingapi", "GetResources", **asked)
    assert [each["ResourceARN"][-2:] for each in answer["ResourceTagMappingList"]] == [
        *("/m", "x1", "x2"),
    ]
    asked["PaginationToken"] = answer["PaginationToken"]
    assert [arn[-2:] for arn in place.found(**asked)] == ["x3", "x4"]


@pytest.mark.parametrize(
    "asked",
    [
        {"ResourceARNList": [MODEL], "TagFilters": [of("team")]},
        {"ResourceARNList": [MODEL], "ResourceTypeFilters": ["sagemaker"]},
        {"ResourceARNList": [MODEL], "ResourcesPerPage": 1},
        {"ResourcesPerPage": 0},
        {"ResourcesPerPage": 101},
        {"TagsPerPage": 99},
        {"TagsPerPage": 501},
        {"ResourceTypeFilters": [""]},
        {"ResourceTypeFilters": ["a:b:c"]},
        {"ResourceTypeFilters": ["SageMaker model"]},
        {"ExcludeCompliantResources": True},
        {"PaginationToken": "nonsense"},
        {"PaginationToken": "é"},
        {"PaginationToken": "WyJhIiwgImIiXQ=="},
    ],
)
def test_what_cannot_be_asked(place: Place, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterException):
        place.found(**asked)


def test_a_token_leads_on_in_its_own_list_alone(place: Place) -> None:
    answer = place.ask("resourcegroupstaggingapi", "GetResources", ResourcesPerPage=1)
    token = answer["PaginationToken"]
    assert place.found(PaginationToken=token) == EVERYTHING[1:]
    with pytest.raises(InvalidParameterException):
        place.found(PaginationToken=token, TagFilters=[of("team")])
    with pytest.raises(InvalidParameterException):
        place.found(PaginationToken=token, account=OTHER)
