"""What the recording server answers, and the files that argument lines read."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.recorder import Reply

ARN = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/e"

DESCRIBED = {
    "EndpointName": "e",
    "EndpointArn": ARN,
    "EndpointConfigName": "c",
    "ProductionVariants": [
        {
            "VariantName": "blue",
            "DeployedImages": [
                {"SpecifiedImage": "i:1", "ResolvedImage": "i@sha", "ResolutionTime": 1700000000.5}
            ],
            "CurrentWeight": 1.0,
            "DesiredWeight": 0.25,
            "CurrentInstanceCount": 2,
        },
        {"VariantName": "green", "CurrentWeight": 3.5, "CurrentInstanceCount": 1},
    ],
    "EndpointStatus": "InService",
    "CreationTime": 1700000000.123,
    "LastModifiedTime": 1700000001,
}
ODD_TEXTS = [
    "two\nlines",
    "  leading and trailing  ",
    "trailing newline\n",
    "a tab\there",
    "bell \x07 and escape \x1b",
    "colon: space",
    "- dash",
    "# hash",
    "'single'",
    '"double"',
    'it\'s "both"',
    "back\\slash",
    "long " * 40,
    "nospace" * 30,
    "123",
    "1.5e3",
    "0x1F",
    "007",
    "true",
    "yes",
    "off",
    "null",
    "~",
    "2024-01-02",
    "12:30:45",
    "",
    "@at",
    "{brace}",
    "ünïcode ☃ 字",
    "plain words in a long line " * 8 + "end",
    "words  with  double  spaces " * 5 + "end",
    "a: quoted words in a long line " * 6 + "end",
    "a\\tescaped: \\x07 \x07 words in a long line " * 4 + "end",
    "x\u00a0y\u2028z",
]
FAILED = {**DESCRIBED, "EndpointStatus": "Failed", "FailureReason": 'it\'s broken: "no" ünïcode ☃'}


def _listed(*names: str) -> list[dict[str, Any]]:
    return [
        {
            "EndpointName": name,
            "EndpointArn": ARN + name,
            "CreationTime": 1700000000.0 + number,
            "LastModifiedTime": 1700000100.25,
            "EndpointStatus": "InService",
        }
        for number, name in enumerate(names)
    ]


def _error(code: str, message: str, status: int = 400, **members: Any) -> list[Reply]:
    headers = {"x-amzn-ErrorType": code}
    return [Reply({"__type": code, "message": message, **members}, status, headers)]


_STREAM = {"Content-Type": "text/csv", "x-Amzn-Invoked-Production-Variant": "blue"}
_XML = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
    "<GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:root</Arn><UserId>u</UserId>"
    "<Account>000000000000</Account></GetCallerIdentityResult>"
    "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
)
_USERS = (
    "<ListUsersResponse><ListUsersResult><IsTruncated>false</IsTruncated><Users><member>"
    "<Path>/</Path><UserName>u</UserName><UserId>AIDA</UserId><Arn>arn:aws:iam::0:user/u</Arn>"
    "<CreateDate>2024-01-02T03:04:05Z</CreateDate></member></Users></ListUsersResult>"
    "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></ListUsersResponse>"
)

REPLIES: dict[str, list[Reply]] = {
    "arn": [Reply({"EndpointArn": ARN})],
    "nothing": [Reply(None)],
    "empty": [Reply({})],
    "described": [Reply(DESCRIBED)],
    "failed": [Reply(FAILED)],
    "no endpoints": [Reply({"Endpoints": []})],
    "one page": [Reply({"Endpoints": _listed("a", "b")})],
    "two pages": [
        Reply({"Endpoints": _listed("a", "b"), "NextToken": "t1"}),
        Reply({"Endpoints": _listed("c")}),
    ],
    "tags": [Reply({"Tags": [{"Key": "k", "Value": "v"}, {"Key": "empty", "Value": ""}]})],
    "odd tags": [Reply({"Tags": [{"Key": f"k{n}", "Value": v} for n, v in enumerate(ODD_TEXTS)]})],
    "emoji": [Reply({"Tags": [{"Key": "face", "Value": "😀"}]})],
    "refused": _error("ValidationException", 'Could not find endpoint "e".'),
    "denied": _error("AccessDeniedException", "User: u is not authorized", 400),
    "broken": _error("InternalFailure", "oops", 500),
    "throttled": _error("ThrottlingException", "Rate exceeded", 400),
    "model error": _error("ModelError", "Received server error (500)", 424, OriginalStatusCode=500),
    "prediction": [Reply(b"0.5,0.25\n", 200, _STREAM)],
    "identity": [Reply(_XML.encode())],
    "users": [Reply(_USERS.encode())],
    "log groups": [Reply({"logGroups": [{"logGroupName": "/aws/sagemaker/Endpoints/e"}]})],
    "filtered events": [
        Reply(
            {
                "events": [
                    {
                        "logStreamName": "v/i-1",
                        "timestamp": 1700000000123 + number,
                        "message": message,
                        "ingestionTime": 1,
                        "eventId": str(number),
                    }
                    for number, message in enumerate(("ready\n", '{"a": [1]}', "two\nlines"))
                ]
            }
        )
    ],
    "log events": [
        Reply(
            {
                "events": [
                    {"timestamp": 1700000000123, "message": "ready\n", "ingestionTime": 1},
                    {"timestamp": 1700000000456, "message": "tab\there", "ingestionTime": 2},
                ],
                "nextForwardToken": "f/1",
                "nextBackwardToken": "b/1",
            }
        )
    ],
    "targets": [
        Reply(
            {
                "ScalableTargets": [
                    {
                        "ServiceNamespace": "sagemaker",
                        "ResourceId": "endpoint/e/variant/blue",
                        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
                        "MinCapacity": 1,
                        "MaxCapacity": 4,
                        "RoleARN": "arn:aws:iam::0:role/r",
                        "CreationTime": 1700000000.0,
                    }
                ]
            }
        )
    ],
}

CANARY = (
    "BlueGreenUpdatePolicy={TrafficRoutingConfiguration={Type=CANARY,"
    "CanarySize={Type=CAPACITY_PERCENT,Value=33},WaitIntervalInSeconds=60},"
    "TerminationWaitInSeconds=60},AutoRollbackConfiguration={Alarms=[{AlarmName=a}]}"
)
CANARY_JSON = json.dumps(
    {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
        }
    }
)
CREATE_JSON = json.dumps({"EndpointName": "from-file", "EndpointConfigName": "c", "Tags": []})
CREATE_YAML = "EndpointName: from-yaml\nEndpointConfigName: c\nTags:\n- Key: a\n  Value: '1'\n"

FILES: dict[str, bytes] = {
    "tags.json": b'[{"Key": "f", "Value": "1"}, {"Key": "g", "Value": "2"}]',
    "tags.txt": b"Key=f,Value=1",
    "canary.json": CANARY_JSON.encode(),
    "canary.txt": CANARY.encode(),
    "create.json": CREATE_JSON.encode(),
    "create.yaml": CREATE_YAML.encode(),
    "bad.json": b'{"EndpointName": ',
    "bad.yaml": b"a: [1\nb: }",
    "list.json": b"[1, 2]",
    "name.txt": b"named-in-a-file",
    "body.bin": bytes(range(256)),
    "body.csv": b"1,2,3\n",
    "body.b64": b"MSwyLDMK",
    "latin1.txt": b"\xff\xfe\xe9",
    "config": (
        b"[default]\nregion = eu-west-1\n"
        b"[profile p]\nregion = eu-central-1\noutput = yaml\n"
        b"[profile raw]\nregion = eu-central-1\ncli_binary_format = raw-in-base64-out\n"
        b"[profile hex]\nregion = eu-central-1\ncli_binary_format = hex\n"
        b"[profile wire]\ncli_timestamp_format = wire\n"
        b"[profile odd]\ncli_timestamp_format = never\n"
        b"[profile paged]\ncli_pager = cat\noutput = text\n"
    ),
    "credentials": (
        b"[p]\naws_access_key_id = AKIDP\naws_secret_access_key = s\n"
        b"[raw]\naws_access_key_id = AKIDP\naws_secret_access_key = s\n"
        b"[hex]\naws_access_key_id = AKIDP\naws_secret_access_key = s\n"
        b"[wire]\naws_access_key_id = AKIDP\naws_secret_access_key = s\n"
        b"[odd]\naws_access_key_id = AKIDP\naws_secret_access_key = s\n"
        b"[paged]\naws_access_key_id = AKIDP\naws_secret_access_key = s\n"
    ),
}
