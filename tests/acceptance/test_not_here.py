"""What InService has not is said once, in a form that each client reads, and not asked again."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

from inservice.api.application import SERVICES
from tests.acceptance.cloudwatch_rig import ACCOUNT, Rig, cloudwatch

ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"

PATIENT = [{"mode": mode, "total_max_attempts": 5} for mode in ("legacy", "standard", "adaptive")]
"""How botocore tries again where it is let. Each try beyond the first waits, and is counted."""


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with cloudwatch(tmp_path_factory.mktemp("rig"), services=SERVICES) as rig:
        yield rig


class Refused:
    """A call that is refused: with what, and after how many tries."""

    def __init__(self, client: Any, operation: str, **arguments: Any) -> None:
        self.tries = 0
        client.meta.events.register("before-send", self._count)
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)(**arguments)
        error = caught.value.response["Error"]
        self.code, self.message = error["Code"], error["Message"]
        self.status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]

    def _count(self, **_: Any) -> None:
        self.tries += 1


# ── services ────────────────────────────────────────────────────────────────────────────────────

CALLS: list[tuple[str, str, dict[str, Any]]] = [
    # AWS JSON
    ("ecr-public", "describe_repositories", {}),
    ("events", "list_rules", {}),
    ("ssm", "get_parameter", {"Name": "/a/b"}),
    ("kms", "encrypt", {"KeyId": "k", "Plaintext": b"x"}),
    ("dynamodb", "get_item", {"TableName": "table", "Key": {"k": {"S": "v"}}}),
    ("sqs", "list_queues", {}),
    ("secretsmanager", "get_secret_value", {"SecretId": "s"}),
    ("stepfunctions", "list_state_machines", {}),
    ("timestream-write", "list_databases", {}),  # asked and signed for as timestream-query is
    ("iotsecuretunneling", "list_tunnels", {}),  # signed for in capitals
    # query
    ("sns", "publish", {"TopicArn": "arn:aws:sns:us-east-1:0:t", "Message": "a+b c&d=é"}),
    ("rds", "describe_db_instances", {}),
    ("elbv2", "describe_load_balancers", {}),
    ("cloudformation", "describe_stacks", {}),
    ("autoscaling", "describe_auto_scaling_groups", {}),
    # REST with JSON
    ("lambda", "invoke", {"FunctionName": "f", "Payload": b"{}"}),
    ("eks", "untag_resource", {"resourceArn": "arn:aws:eks:a/b", "tagKeys": ["b", "a", "b"]}),
    ("bedrock-runtime", "invoke_model", {"modelId": "a:b/c d", "body": b"{}"}),
    ("efs", "describe_file_systems", {}),
    ("batch", "list_jobs", {}),
    (
        "sagemaker-metrics",
        "batch_get_metrics",
        {
            "MetricQueries": [
                {
                    "MetricName": "m",
                    "ResourceArn": "a",
                    "MetricStat": "Min",
                    "Period": "OneMinute",
                    "XAxisType": "Timestamp",
                }
            ]
        },
    ),
    (
        "sagemaker-featurestore-runtime",
        "get_record",
        {"FeatureGroupName": "g", "RecordIdentifierValueAsString": "a b"},
    ),
    # REST with XML
    ("s3", "list_buckets", {}),
    ("s3", "list_objects_v2", {"Bucket": "bucket", "Prefix": "a b/+~*(é)"}),
    (
        "s3",
        "put_object",
        {"Bucket": "bucket", "Key": "a//b/../c d+é~*()'.tar.gz", "Body": b"x" * 9},
    ),
    ("s3", "get_object", {"Bucket": "bucket", "Key": "./k%2F"}),
    ("s3", "create_multipart_upload", {"Bucket": "bucket", "Key": "k"}),
    ("route53", "list_hosted_zones", {}),
    ("cloudfront", "list_distributions", {}),
    # RPC v2 with CBOR
    ("servicecatalog", "list_portfolios", {}),
    ("mailmanager", "list_relays", {}),
    ("arc-region-switch", "list_plans", {}),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]}.{call[1]}")
def test_a_service_that_is_not_here_says_so_to_its_own_client(
    rig: Rig, call: tuple[str, str, dict[str, Any]]
) -> None:
    service, operation, arguments = call
    client = rig.client(service, retries=PATIENT[1])
    refused = Refused(client, operation, **arguments)
    name = client.meta.method_to_api_mapping[operation]
    assert refused.code == "NotImplemented"
    assert f"InService does not support {service}:{name} yet: " in refused.message
    assert refused.tries == 1
    assert refused.status == (501 if service == "s3" else 400)
    assert ("AWS_ENDPOINT_URL_S3" in refused.message) is (service == "s3")


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]}.{call[1]}")
def test_a_stranger_hears_of_the_signature_alone(
    rig: Rig, call: tuple[str, str, dict[str, Any]]
) -> None:
    service, operation, arguments = call
    client = rig.client(service, secret="not this one")
    refused = Refused(client, operation, **arguments)
    assert refused.status == 403
    older = service == "s3" or client.meta.service_model.resolved_protocol == "query"
    assert refused.code == ("SignatureDoesNotMatch" if older else "InvalidSignatureException")
    assert "does not match" in refused.message


def test_every_protocol_of_botocore_s_services_is_known() -> None:
    session = botocore.session.Session()
    for service in session.get_available_services():
        assert session.get_service_model(service).protocol in {
            "json",
            "query",
            "ec2",
            "rest-json",
            "rest-xml",
            "smithy-rpc-v2-cbor",
        }


@pytest.mark.parametrize("mode", PATIENT, ids=lambda mode: mode["mode"])
def test_no_way_of_trying_again_tries_s3_again(rig: Rig, mode: dict[str, Any]) -> None:
    client = rig.client("s3", retries=mode, s3={"addressing_style": "path"})
    assert Refused(client, "head_bucket", Bucket="b").code == "501"  # an answer to HEAD has no body
    assert Refused(client, "put_object", Bucket="b", Key="k", Body=b"x").tries == 1
    assert Refused(client, "get_bucket_location", Bucket="b").tries == 1


@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_the_ways_in_which_s3_signs_its_bodies(rig: Rig, signed: bool) -> None:
    client = rig.client("s3", s3={"payload_signing_enabled": signed})
    refused = Refused(client, "put_object", Bucket="b", Key="k", Body=b"x" * 100_000)
    assert refused.code == "NotImplemented"


def test_a_presigned_request_for_an_object(rig: Rig) -> None:
    client = rig.client("s3", signature_version="s3v4")
    arguments = {"Bucket": "b", "Key": "a b/é", "ResponseContentType": "text/plain"}
    url = client.generate_presigned_url("get_object", arguments)
    for sent, status, says in (
        (url, 501, "<Code>NotImplemented</Code>"),
        (url.replace("X-Amz-Expires=3600", "X-Amz-Expires=3601"), 403, "SignatureDoesNotMatch"),
        (url.replace("/b/", "/c/"), 403, "SignatureDoesNotMatch"),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(sent)
        assert caught.value.code == status
        assert says in caught.value.read().decode()


OBJECTS: list[tuple[str, dict[str, Any]]] = [
    ("list_buckets", {}),
    ("list_objects_v2", {"Bucket": "bucket", "Prefix": "a b/é"}),
    ("get_object", {"Bucket": "bucket", "Key": "a//b c"}),
    ("put_object", {"Bucket": "bucket", "Key": "k", "Body": b"x" * 9}),
    ("delete_object", {"Bucket": "bucket", "Key": "k"}),
    ("create_bucket", {"Bucket": "bucket"}),
]


@pytest.mark.parametrize(("operation", "arguments"), OBJECTS, ids=[name for name, _ in OBJECTS])
@pytest.mark.parametrize("style", ["path", "virtual"])
def test_s3_without_a_signature_and_with_an_old_one(
    rig: Rig, operation: str, arguments: dict[str, Any], style: str
) -> None:
    """Both in the form that its clients read; anything else is a "ResponseParserError" to them."""
    ways = {UNSIGNED: ("AccessDenied", 403), "s3": ("InvalidRequest", 400)}
    for version, (code, status) in ways.items():
        client = rig.client(
            "s3", retries=PATIENT[1], signature_version=version, s3={"addressing_style": style}
        )
        if style == "virtual":  # the bucket is a host name, which leads nowhere here
            client.meta.events.register("before-send", _to_this_server(rig.url))
        refused = Refused(client, operation, **arguments)
        assert (refused.code, refused.status) == (code, status)
        assert refused.tries == 1


def _to_this_server(url: str) -> Callable[..., None]:
    place = url.partition("://")[2]

    def send(request: Any, **_: Any) -> None:
        host, _, path = request.url.partition("://")[2].partition("/")
        request.headers["Host"] = host
        request.url = f"http://{place}/{path}"

    return send


def test_s3_as_curl_and_old_urls_ask(rig: Rig) -> None:
    client = rig.client("s3", signature_version="s3-query", s3={"addressing_style": "path"})
    old = client.generate_presigned_url("get_object", {"Bucket": "b", "Key": "k"})
    assert "AWSAccessKeyId=" in old
    form = urllib.request.Request(
        f"{rig.url}/bucket",
        data=b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--b--\r\n',
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    for sent, status, says in (
        (old, 400, "<Code>InvalidRequest</Code>"),
        (f"{rig.url}/bucket/key", 403, "<Code>AccessDenied</Code>"),
        (form, 403, "<Code>AccessDenied</Code>"),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(sent)
        assert caught.value.code == status
        assert says in caught.value.read().decode()


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/", {"X-Amz-Target": "SageMaker.ListModels"}),
        ("POST", "/", {}),
        ("GET", "/", {}),
        ("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", {"amz-sdk-request": "attempt=1"}),
        (
            "POST",
            "/service/GraniteServiceVersion20100801/operation/ListMetrics",
            {"smithy-protocol": "rpc-v2-cbor"},
        ),
        ("POST", "/nowhere", {}),
    ],
)
def test_nothing_else_that_is_unsigned_is_taken_for_s3(
    rig: Rig, method: str, path: str, headers: dict[str, str]
) -> None:
    request = urllib.request.Request(f"{rig.url}{path}", method=method, headers=headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 403
    said = caught.value.read().decode("latin-1")
    assert "MissingAuthenticationToken" in said
    assert "<Resource>" not in said


# ── fields ──────────────────────────────────────────────────────────────────────────────────────

VARIANT = {"VariantName": "A", "ModelName": "m", "InitialInstanceCount": 1}
METRIC = {"Namespace": "App", "MetricName": "Errors"}
ALARM = {
    "AlarmName": "a",
    "EvaluationPeriods": 1,
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 1.0,
}

FIELDS: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "sagemaker",
        "create_model",
        {
            "ModelName": "m",
            "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "s3://b/k", "Mode": "MultiModel"},
        },
        "Mode",
    ),
    (
        "sagemaker",
        "create_model",
        {
            "ModelName": "m",
            "PrimaryContainer": {"Image": IMAGE, "MultiModelConfig": {}},
        },
        "MultiModelConfig",
    ),
    (
        "sagemaker",
        "create_model",
        {"ModelName": "m", "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "https://b/k"}},
        "ModelDataUrl",
    ),
    (
        "sagemaker",
        "create_model",
        {"ModelName": "m", "PrimaryContainer": {"ModelPackageName": "p"}},
        "ModelPackageName",
    ),
    (
        "sagemaker",
        "create_model",
        {"ModelName": "m", "Containers": [{"Image": IMAGE}, {"Image": IMAGE}]},
        "Containers",
    ),
    (
        "sagemaker",
        "create_endpoint_config",
        {
            "EndpointConfigName": "c",
            "ProductionVariants": [
                {
                    "VariantName": "A",
                    "ModelName": "m",
                    "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
                }
            ],
        },
        "ServerlessConfig",
    ),
    (
        "sagemaker",
        "create_endpoint_config",
        {
            "EndpointConfigName": "c",
            "ProductionVariants": [VARIANT],
            "ShadowProductionVariants": [{**VARIANT, "VariantName": "S"}],
        },
        "ShadowProductionVariants",
    ),
    (
        "sagemaker",
        "create_training_job",
        {
            "TrainingJobName": "t",
            "RoleArn": ROLE,
            "OutputDataConfig": {"S3OutputPath": "s3://b"},
            "ResourceConfig": {"VolumeSizeInGB": 1},
            "StoppingCondition": {},
            "AlgorithmSpecification": {"TrainingInputMode": "File"},
        },
        "sagemaker:CreateTrainingJob",
    ),
    (
        "cloudwatch",
        "put_metric_alarm",
        {
            **ALARM,
            "Metrics": [
                {
                    "Id": "m",
                    "AccountId": "1",
                    "MetricStat": {"Metric": METRIC, "Period": 60, "Stat": "Sum"},
                }
            ],
        },
        "AccountId",
    ),
    (
        "cloudwatch",
        "get_metric_data",
        {
            "StartTime": 0,
            "EndTime": 60,
            "MetricDataQueries": [
                {"Id": "e", "Expression": 'SELECT AVG(CPUUtilization) FROM "AWS/EC2"', "Period": 60}
            ],
        },
        "SELECT",
    ),
    (
        "cloudwatch",
        "get_metric_data",
        {
            "StartTime": 0,
            "EndTime": 60,
            "MetricDataQueries": [
                {"Id": "e", "Expression": "SEARCH('{AWS/EC2,InstanceId} x', 'Sum', 60)"}
            ],
        },
        "SEARCH",
    ),
    (
        "cloudwatch",
        "put_metric_stream",
        {"Name": "s", "FirehoseArn": "a", "RoleArn": ROLE, "OutputFormat": "json"},
        "cloudwatch:PutMetricStream",
    ),
    (
        "logs",
        "put_subscription_filter",
        {"logGroupName": "g", "filterName": "f", "filterPattern": "", "destinationArn": "a"},
        "logs:PutSubscriptionFilter",
    ),
    ("iam", "create_instance_profile", {"InstanceProfileName": "p"}, "iam:CreateInstanceProfile"),
    (
        "sts",
        "get_delegated_access_token",
        {"TradeInToken": "t" * 20},
        "sts:GetDelegatedAccessToken",
    ),
]


@pytest.mark.parametrize("call", FIELDS, ids=lambda call: f"{call[1]}-{call[3]}")
def test_a_field_that_is_not_built_is_named_and_asked_for_once(
    rig: Rig, call: tuple[str, str, dict[str, Any], str]
) -> None:
    """Terraform's provider asked for 158 seconds: to it a ValidationException of CreateModel is a
    role that is not there yet."""
    service, operation, arguments, names = call
    for mode in PATIENT:
        refused = Refused(rig.client(service, retries=mode), operation, **arguments)
        assert (refused.code, refused.status, refused.tries) == ("NotImplemented", 400, 1)
        assert "InService does not support " in refused.message
        assert names in refused.message
