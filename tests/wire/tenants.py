"""Control's API with accounts in it, asked by AWS's own clients in this process; and for any
operation the requests that name what another account has.

The names come from the operation's model: a member that names a thing gets the thing's name or ARN,
whichever operation it is of. So an operation that is added is asked as well.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape

from inservice.api.application import Application, create_application
from inservice.cli import ours
from inservice.clock import SystemClock
from inservice.deployment.state import Decision
from inservice.identity import managed
from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.principal import AccessKey, Account, Principal
from inservice.instance_logs.groups import FileGroups
from inservice.operations import registry
from inservice.operations.live import (
    CapacitySeen,
    DataSeen,
    EngineSeen,
    InstanceSeen,
    Live,
    StorageSeen,
)
from inservice.placement.host import Host
from inservice.placement.place import Rules
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from inservice.telemetry.database import open_metrics
from inservice.telemetry.recorder import Recorder
from inservice.threads import Threads
from inservice.transport.messages import Request
from tests.contracts.store_records import completed
from tests.kept_images import FakeImages
from tests.stores import lay_out, new_store

OWN, A, B = "000000000000", "111122223333", "444455556666"
REGION = "us-east-1"
SECRET = "belongs-to-a"
"""In every text that A keeps here: no answer to anybody else may have it."""

ROOTS = {account: f"AKIAROOT{account}" for account in (OWN, A, B)}
ADMINS = {B: f"AKIAADMIN{B}"}
"""Ids of keys: of each root, and of a user who may do whatever a policy can give."""


@dataclass
class Runs:
    """The server as it runs: one instance of A's endpoint and one of nobody's."""

    metrics: Recorder
    logs: FileGroups
    own_account: str = OWN
    log_bytes_max: int = 1 << 40
    is_strict: bool = False
    takes_unknown_roles: bool = True
    started_at: float = 0.0
    seen: list[InstanceSeen] = field(default_factory=list)
    aside: tuple[Path, ...] = ()
    images: FakeImages = field(default_factory=FakeImages)

    def processes(self) -> tuple[()]:
        return ()

    def served(self) -> tuple[str, ...]:
        return ()

    def buckets_of(self, account_id: str) -> int:
        """None: there is no storage."""
        return 0

    def bucket_tags(self, account_id: str, region: str) -> dict[str, dict[str, str]]:
        """None: there is no storage."""
        return {}

    placement_rules = Rules()

    def engine(self) -> EngineSeen:
        return EngineSeen("Podman", "5.0", "/run/podman/podman.sock")

    def capacity(self) -> CapacitySeen:
        return CapacitySeen(Host(2, 8 * 2**30), (), self.placement_rules)

    def data_seen(self, *_: object) -> DataSeen:
        return DataSeen.ELSEWHERE

    def instances_seen(self) -> list[InstanceSeen]:
        return self.seen

    def isolation(self) -> tuple[str, str, str]:
        return "OwnUser", "", ""

    def storage(self) -> StorageSeen | None:
        return StorageSeen(1, 2, 3, 4, 5)

    def metrics_set_aside(self) -> tuple[Path, ...]:
        return self.aside


@dataclass
class World:
    """A server with these accounts."""

    application: Application
    store: Store
    runs: Runs
    directory: Path
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def client(self, service: str, key_id: str) -> Any:
        """A client whose requests are answered here, without a socket between."""
        if (service, key_id) not in self._clients:
            made = _session().create_client(
                cast(Any, service),
                endpoint_url="http://127.0.0.1:7420",
                region_name=REGION,
                aws_access_key_id=key_id,
                aws_secret_access_key="s" * 40,
                config=Config(
                    retries={"total_max_attempts": 1},
                    parameter_validation=False,
                    inject_host_prefix=False,
                ),
            )
            made.meta.events.register("before-send", cast(Any, self._answered))
            self._clients[service, key_id] = made
        return self._clients[service, key_id]

    def ask(self, key_id: str, service: str, name: str, members: Mapping[str, Any]) -> Any:
        """The answer of one operation, or its error, without what differs from call to call."""
        client = self.client(service, key_id)
        try:
            answer = getattr(client, _method(client, name))(**members)
        except ClientError as error:
            answer = {**error.response}
        answer["ResponseMetadata"] = {"status": answer["ResponseMetadata"]["HTTPStatusCode"]}
        return answer

    def _answered(self, request: Any, **_: Any) -> AWSResponse:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        headers = [(name.lower().encode(), _octets(v)) for name, v in request.headers.items()]
        headers = [each for each in headers if each[0] not in (b"host", b"content-length")]
        headers.append((b"host", b"127.0.0.1:7420"))
        target = "/" + request.url.split("/", 3)[3]
        arrived = Request(request.method, target.encode(), 1, headers)
        arrived.parts, arrived.length = [body], len(body)
        response = self.application.answer(arrived)
        told = {name.decode(): value.decode() for name, value in response.headers}
        return AWSResponse(
            request.url, response.status, cast(Any, told), _Raw(cast(bytes, response.body))
        )


class _Raw(io.BytesIO):
    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.getvalue()


def _octets(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _method(client: Any, operation: str) -> str:
    methods: Mapping[str, str] = client.meta.method_to_api_mapping
    return next(method for method, name in methods.items() if name == operation)


_SESSIONS: list[botocore.session.Session] = []


def _session() -> botocore.session.Session:
    if not _SESSIONS:
        session = botocore.session.Session()
        session.get_component("data_loader").search_paths.append(ours.service_models())
        _SESSIONS.append(session)
    return _SESSIONS[0]


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """A server on an empty directory."""
    directory.mkdir()
    lay_out(new_store("state.db", "secrets.key"), directory)
    url = f"sqlite:///{directory / 'state.db'}"
    store = open_store(url, key_file=directory / "secrets.key")
    clock = SystemClock()
    recorder = Recorder(open_metrics(url), clock.now())
    runs = Runs(recorder, FileGroups(directory / "logs"))
    keys = {
        key_id: AccessKey(key_id, "s" * 40, Account(account).root)
        for account, key_id in ROOTS.items()
    }
    for account, key_id in ADMINS.items():
        admin = Principal(account, f"arn:aws:iam::{account}:user/admin", "AIDAADMINOFTHEOTHERS")
        keys[key_id] = AccessKey(key_id, "s" * 40, admin)
    try:
        application = create_application(
            store=store,
            live=cast(Live, runs),
            clock=clock,
            keys=lambda key_id: keys.get(key_id) or _kept(store, key_id),
            authority_of=lambda key: _administrator(key.principal),
            threads=Threads("api", 1),
            readers=Threads("reads", 1),
        )
        yield World(application, store, runs, directory)
    finally:
        recorder.close()
        store.close()


def _kept(store: Store, key_id: str) -> AccessKey | None:
    with store.reading() as records:
        return records.access_keys.find(key_id)


def _administrator(principal: Principal) -> Authority:
    """Everything that a policy can give."""
    arn = "arn:aws:iam::aws:policy/AdministratorAccess"
    found = managed.find(arn)
    assert found is not None
    return Authority(principal, [AttachedPolicy(found.policy, "AdministratorAccess", arn)])


# ── what A has ──────────────────────────────────────────────────────────────────────────────────
TRUST = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",'
    '"Principal":{"Service":"sagemaker.amazonaws.com"}}]}'
)
ALLOW = (
    f'{{"Version":"2012-10-17","Statement":[{{"Sid":"{SECRET.replace("-", "")}",'
    '"Effect":"Allow","Action":"*","Resource":"*"}]}'
)
TAGS = [{"Key": "whose", "Value": SECRET}]
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
CONTAINER = {"Image": IMAGE, "ModelDataUrl": f"s3://{SECRET}/model.tar.gz"}
VARIANTS = [
    {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
]
ALARM = {
    "AlarmName": "al",
    "AlarmDescription": SECRET,
    "Namespace": "n",
    "MetricName": "x",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanThreshold",
}
LOG_TIME = int(SystemClock().now() * 1000)


def fill(there: World) -> dict[str, str]:
    """Give A one of everything. What of it got an id by chance, by the member that names it."""

    def a(service: str) -> Any:
        return there.client(service, ROOTS[A])

    sagemaker, cloudwatch, logs, iam = (
        a(each) for each in ("sagemaker", "cloudwatch", "logs", "iam")
    )
    role = iam.create_role(
        RoleName="r", AssumeRolePolicyDocument=TRUST, Description=SECRET, Tags=TAGS
    )["Role"]
    sagemaker.create_model(
        ModelName="m", PrimaryContainer=CONTAINER, ExecutionRoleArn=role["Arn"], Tags=TAGS
    )
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=VARIANTS, Tags=TAGS)
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c", Tags=TAGS)
    cloudwatch.put_metric_alarm(**ALARM, Tags=TAGS)
    cloudwatch.put_composite_alarm(
        AlarmName="co", AlarmRule="ALARM(al)", AlarmDescription=SECRET, Tags=TAGS
    )
    cloudwatch.put_dashboard(
        DashboardName="d", DashboardBody=f'{{"widgets":[],"title":"{SECRET}"}}'
    )
    cloudwatch.put_metric_data(
        Namespace="n",
        MetricData=[
            {
                "MetricName": "x",
                "Value": 5.0,
                "Dimensions": [{"Name": "whose", "Value": SECRET}],
            },
            {"MetricName": "x", "Value": 7.0},
        ],
    )
    logs.create_log_group(logGroupName="g", tags={"whose": SECRET})
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    logs.put_log_events(
        logGroupName="g",
        logStreamName="s",
        logEvents=[{"timestamp": LOG_TIME, "message": SECRET}],
    )
    iam.create_user(UserName="u", Tags=TAGS)
    iam.create_group(GroupName="gr")
    iam.create_open_id_connect_provider(Url="https://p.example", ClientIDList=[SECRET], Tags=TAGS)
    iam.add_user_to_group(UserName="u", GroupName="gr")
    policy = iam.create_policy(PolicyName="p", PolicyDocument=ALLOW, Description=SECRET, Tags=TAGS)[
        "Policy"
    ]
    iam.create_policy_version(PolicyArn=policy["Arn"], PolicyDocument=ALLOW)
    iam.attach_user_policy(UserName="u", PolicyArn=policy["Arn"])
    iam.attach_role_policy(RoleName="r", PolicyArn=policy["Arn"])
    for kind, named in (("user", "UserName"), ("group", "GroupName"), ("role", "RoleName")):
        put = getattr(iam, f"put_{kind}_policy")
        put(**{named: NAMES[named], "PolicyName": "in", "PolicyDocument": ALLOW})
    key = iam.create_access_key(UserName="u")["AccessKey"]["AccessKeyId"]
    with there.store.transaction() as tx:
        record = tx.endpoints.get(A, REGION, "e")
        tx.endpoints.save(record, completed(Decision(record.endpoint, record.deployment)))
    generation = record.endpoint.generation
    there.runs.seen = [
        InstanceSeen(f"{generation}-1-v/0", f"{generation}-1-v", 4711, "Ready", 1.0),
        InstanceSeen("0123456789-1-v/0", "0123456789-1-v", 4712, "Ready", 1.0),
    ]
    log = there.directory / "logs" / A / REGION / "e" / "v" / "whose.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"{LOG_TIME} {SECRET}\n")
    return {"AccessKeyId": key, "DeploymentId": f"{generation}-1"}


NAMES: Mapping[str, Any] = {
    "EndpointName": "e",
    "EndpointConfigName": "c",
    "ModelName": "m",
    "NameContains": "e",
    "AlarmName": "al",
    "AlarmNames": ["al", "co"],
    "AlarmNamePrefix": "al",
    "ChildrenOfAlarmName": "co",
    "ParentsOfAlarmName": "al",
    "DashboardName": "d",
    "DashboardNames": ["d"],
    "DashboardNamePrefix": "d",
    "Namespace": "n",
    "MetricName": "x",
    "OwningAccount": A,
    "AccountId": A,
    "accountIdentifiers": [A],
    "logGroupName": "g",
    "logGroupNamePrefix": "g",
    "logGroupIdentifier": f"arn:aws:logs:{REGION}:{A}:log-group:g",
    "logGroupIdentifiers": [f"arn:aws:logs:{REGION}:{A}:log-group:g"],
    "logStreamName": "s",
    "logStreamNames": ["s"],
    "resourceArn": f"arn:aws:logs:{REGION}:{A}:log-group:g",
    "ResourceARN": f"arn:aws:cloudwatch:{REGION}:{A}:alarm:al",
    "ResourceArn": f"arn:aws:sagemaker:{REGION}:{A}:model/m",
    "UserName": "u",
    "GroupName": "gr",
    "RoleName": "r",
    "PolicyName": "in",
    "PolicyArn": f"arn:aws:iam::{A}:policy/p",
    "PolicySourceArn": f"arn:aws:iam::{A}:user/u",
    "CallerArn": f"arn:aws:iam::{A}:user/u",
    "PermissionsBoundary": f"arn:aws:iam::{A}:policy/p",
    "ResourceArns": [f"arn:aws:sagemaker:{REGION}:{A}:endpoint/e"],
    "ResourceOwner": f"arn:aws:iam::{A}:root",
    "ExecutionRoleArn": f"arn:aws:iam::{A}:role/r",
    "RoleArn": f"arn:aws:iam::{A}:role/r",
    "OpenIDConnectProviderArn": f"arn:aws:iam::{A}:oidc-provider/p.example",
    "ClientID": "sts.amazonaws.com",
    "VersionId": "v1",
}
"""A member that names something of A's, in whatever operation → that."""

TOKEN = ".".join(
    base64.urlsafe_b64encode(part.encode()).decode().rstrip("=")
    for part in ('{"alg":"RS256"}', '{"iss":"https://p.example"}', "mark")
)
"""Of A's provider, and signed by nobody."""

VALUES: Mapping[str, Any] = {
    "PolicyDocument": ALLOW.replace(SECRET.replace("-", ""), "B"),
    "PolicyInputList": [ALLOW.replace(SECRET.replace("-", ""), "B")],
    "AssumeRolePolicyDocument": (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",'
        f'"Principal":{{"AWS":"arn:aws:iam::{A}:user/u"}}}}]}}'
    ),
    "DashboardBody": '{"widgets":[]}',
    "AlarmRule": "ALARM(al)",
    "ProductionVariants": VARIANTS,
    "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://b/model.tar.gz"},
    "MetricData": [{"MetricName": "x", "Value": 1.0}],
    "StartTime": datetime.fromtimestamp(LOG_TIME // 1000 - 600, UTC),
    "EndTime": datetime.fromtimestamp(LOG_TIME // 1000 + 600, UTC),
    "Period": 60,
    "Statistics": ["Sum"],
    "EvaluationPeriods": 1,
    "ComparisonOperator": "GreaterThanThreshold",
    "MetricDataQueries": [
        {
            "Id": "x",
            "MetricStat": {
                "Metric": {"Namespace": "n", "MetricName": "x"},
                "Period": 60,
                "Stat": "Sum",
            },
        },
        {"Id": "y", "Expression": "x * 2"},
    ],
    "MetricWidget": "{}",
    "StateValue": "ALARM",
    "logEvents": [{"timestamp": LOG_TIME, "message": "B's"}],
    "logEventMessages": ["x"],
    "filterPattern": "",
    "retentionInDays": 7,
    "Tags": [{"Key": "k", "Value": "v"}],
    "tags": {"k": "v"},
    "TagKeys": ["whose"],
    "tagKeys": ["whose"],
    "ActionNames": ["sagemaker:InvokeEndpoint"],
    "Status": "Inactive",
    "AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com",
    "DesiredWeightsAndCapacities": [{"VariantName": "v", "DesiredWeight": 1.0}],
    "EntityFilter": None,
    "Image": "python",
    "Url": "https://p.example",
    "ClientIDList": ["sts.amazonaws.com"],
    "ThumbprintList": ["b" * 40],
    "Name": "bob",
    "WebIdentityToken": TOKEN,
    "DurationSeconds": 900,
    "RoleSessionName": "session",
    "EncodedMessage": "nothing",
    "MaxSessionDuration": 3600,
    "DeletionTaskId": "task/aws-service-role/x/y",
}
"""A value that the operation takes, for members that name nothing."""


@dataclass(frozen=True)
class Asked:
    """One request."""

    service: str
    operation: str
    members: Mapping[str, Any]


def requests_of(operation: registry.Operation, by_chance: Mapping[str, str]) -> Iterator[Asked]:
    """What an operation needs; and that with each other member beside that names something."""
    names = {**NAMES, **by_chance}
    client = _session().get_service_model(operation.service)
    shape = client.operation_model(operation.name).input_shape
    if shape is None:
        yield Asked(operation.service, operation.name, {})
        return
    needed = {name: _value(name, shape.members[name], names) for name in shape.required_members}
    needed |= _BESIDE.get(operation.name, {})
    yield Asked(operation.service, operation.name, needed)
    for name in sorted(shape.members.keys() & names.keys() - needed.keys()):
        value = _value(name, shape.members[name], names)
        yield Asked(operation.service, operation.name, {**needed, name: value})
    for name in sorted(_OTHERS.keys() & needed.keys()):
        for other in _OTHERS[name]:
            yield Asked(operation.service, operation.name, {**needed, name: other})


_BESIDE: Mapping[str, Mapping[str, Any]] = {
    "CreateModel": {"PrimaryContainer": VALUES["PrimaryContainer"]},
    "PutMetricAlarm": {**ALARM, "AlarmDescription": "B"},
    "PutCompositeAlarm": {"AlarmName": "co"},
    "PutMetricData": {"MetricData": VALUES["MetricData"]},
    "GetMetricStatistics": {"Statistics": ["Sum"]},
    "UpdateAssumeRolePolicy": {"PolicyDocument": VALUES["AssumeRolePolicyDocument"]},
    "CreatePolicy": {"PolicyName": "p"},
    "DescribeLogStreams": {"logGroupName": "g"},
    "FilterLogEvents": {"logGroupName": "g"},
    "GetLogEvents": {"logGroupName": "g"},
    "PlanDeployment": {"EndpointConfigName": "c"},
    "SetDefaultPolicyVersion": {"VersionId": "v2"},
    "DeletePolicyVersion": {"VersionId": "v1"},
}
"""What a request has to say though its model does not require it, or has to say so."""

_OTHERS: Mapping[str, Sequence[Any]] = {
    "AlarmRule": [f'ALARM("arn:aws:cloudwatch:{REGION}:{A}:alarm:al")'],
    "MetricDataQueries": [[{**VALUES["MetricDataQueries"][0], "AccountId": A}]],
    "PrimaryContainer": [{"ModelPackageName": f"arn:aws:sagemaker:{REGION}:{A}:model-package/m"}],
    "resourceArn": [f"arn:aws:logs:{REGION}:{B}:log-group:g"],
    "ResourceARN": [f"arn:aws:cloudwatch:{REGION}:{B}:alarm:al"],
    "PolicySourceArn": [f"arn:aws:iam::{B}:user/u"],
    "PermissionsBoundary": [f"arn:aws:iam::{B}:policy/p"],
    "logGroupName": ["/aws/sagemaker/Endpoints/e"],
    "PolicyArn": [f"arn:aws:iam::{A}:policy/P", f"arn:aws:iam::{B}:policy/p"],
    "OpenIDConnectProviderArn": [f"arn:aws:iam::{B}:oidc-provider/p.example"],
    "ResourceArn": [
        f"arn:aws:sagemaker:{REGION}:{A}:endpoint/e",
        f"arn:aws:sagemaker:{REGION}:{A}:endpoint-config/c",
        f"arn:aws:sagemaker:{REGION}:{B}:endpoint/e",
    ],
}


def _value(name: str, shape: Shape, names: Mapping[str, Any]) -> Any:
    if name in names:
        found = names[name]
        return found if not isinstance(shape, ListShape) or isinstance(found, list) else [found]
    if name in VALUES:
        return VALUES[name]
    if isinstance(shape, StructureShape):
        wanted = shape.required_members
        return {each: _value(each, shape.members[each], names) for each in wanted}
    if isinstance(shape, ListShape):
        return [_value("", shape.member, names)]
    if isinstance(shape, MapShape):
        return {}
    if getattr(shape, "enum", None):
        return cast(Any, shape).enum[0]
    kinds: dict[str, Any] = {"integer": 1, "long": 1, "double": 1.0, "float": 1.0, "boolean": False}
    return kinds.get(shape.type_name, "x")


# ── comparing ───────────────────────────────────────────────────────────────────────────────────
_BY_CHANCE = re.compile(
    r"A(?:KIA|SIA|IDA|ROA|GPA|NPA)[A-Z0-9]{16,}"  # ids of IAM
    r"|\b[0-9a-f]{10}-\d+|\b[0-9a-f-]{36}\b"  # deployments, request ids
    r"|\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|\+\d+)?|\b\d{13,}\b"  # moments
)


def comparable(answer: Any) -> Any:
    """An answer without what two servers never have alike: ids, secrets, moments."""
    if isinstance(answer, Mapping):
        return {
            key: "by chance" if key in ("SecretAccessKey", "SessionToken", "RequestId") else made
            for key, value in answer.items()
            if (made := comparable(value)) is not None
        }
    if isinstance(answer, list | tuple):
        return [comparable(each) for each in answer]
    if isinstance(answer, datetime) or (
        isinstance(answer, int | float) and not isinstance(answer, bool) and answer > 1e9
    ):
        return "a moment"
    return _BY_CHANCE.sub("by chance", answer) if isinstance(answer, str) else answer
