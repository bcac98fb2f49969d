"""The argument lines that AWS CLI and ours must answer alike.

A line is written as it would be typed. `{url}` is the server's address; without `bare=True` the
server and a region are appended as global options.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tests.cli.replies import ARN, CANARY, CANARY_JSON, CREATE_JSON


@dataclass(frozen=True, slots=True)
class Line:
    """One argument line."""

    name: str
    text: str
    reply: str = "arn"
    env: tuple[tuple[str, str], ...] = ()
    bare: bool = False
    credentials: bool = True

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


_CREATE = "sagemaker create-endpoint --endpoint-name e --endpoint-config-name c"
_DESCRIBE = "sagemaker describe-endpoint --endpoint-name e"
_LIST = "sagemaker list-endpoints"
_INVOKE = "sagemaker-runtime invoke-endpoint --endpoint-name e"
_CONFIG = "sagemaker create-endpoint-config --endpoint-config-name c"
_UPDATE = "sagemaker update-endpoint --endpoint-name e --endpoint-config-name c"


def _create_endpoint() -> list[Line]:
    rows = [
        ("create", _CREATE),
        ("create, options first", "--output json " + _CREATE),
        (
            "create, equals signs",
            "sagemaker create-endpoint --endpoint-name=e --endpoint-config-name=c",
        ),
        ("create, unique prefixes", "sagemaker create-endpoint --endpoint-n e --endpoint-c c"),
        ("create, last one wins", _CREATE + " --endpoint-name f"),
        (
            "create, empty name",
            "sagemaker create-endpoint --endpoint-name '' --endpoint-config-name c",
        ),
        (
            "create, unicode name",
            "sagemaker create-endpoint --endpoint-name ünï☃ --endpoint-config-name c",
        ),
        ("tags, one", _CREATE + " --tags Key=a,Value=1"),
        ("tags, two", _CREATE + " --tags Key=a,Value=1 Key=b,Value=2"),
        ("tags, json", _CREATE + """ --tags '[{"Key":"a","Value":"1"}]'"""),
        (
            "tags, json objects",
            _CREATE + """ --tags '{"Key":"a","Value":"1"}' '{"Key":"b","Value":"2"}'""",
        ),
        ("tags, file", _CREATE + " --tags file://tags.json"),
        ("tags, shorthand file", _CREATE + " --tags file://tags.txt"),
        (
            "tags, quotes",
            _CREATE + """ --tags 'Key="a,b",Value="x=y"' "Key='c d',Value='it\\'s'" """,
        ),
        ("tags, escaped comma", _CREATE + r""" --tags 'Key=a\,b,Value=1'"""),
        ("tags, spaces", _CREATE + " --tags 'Key = a , Value = b c '"),
        ("tags, empty value", _CREATE + " --tags Key=a,Value="),
        ("tags, unicode", _CREATE + " --tags Key=ключ,Value=значение"),
        ("tags, none", _CREATE + " --tags"),
        ("tags, duplicate key", _CREATE + " --tags Key=a,Value=1,Key=b,Value=2"),
        ("tags, no equals", _CREATE + " --tags Key"),
        ("tags, missing value", _CREATE + " --tags Key=a"),
        ("tags, unknown member", _CREATE + " --tags Key=a,Value=1,Extra=2"),
        ("tags, list for text", _CREATE + " --tags Key=a,Value=1,2"),
        ("tags, bad json", _CREATE + " --tags '[{\"Key\":'"),
        ("tags, unterminated quote", _CREATE + """ --tags 'Key="a,Value=1'"""),
        ("tags, braces", _CREATE + " --tags '{Key=a,Value=1}'"),
        ("tags, wrong json type", _CREATE + """ --tags '[{"Key":1,"Value":true}]'"""),
        ("tags, file without a name", _CREATE + " --tags file://"),
        ("tags, missing file", _CREATE + " --tags file://nowhere.json"),
        ("deployment, shorthand", _CREATE + f" --deployment-config '{CANARY}'"),
        ("deployment, json", _CREATE + f" --deployment-config '{CANARY_JSON}'"),
        ("deployment, json file", _CREATE + " --deployment-config file://canary.json"),
        ("deployment, shorthand file", _CREATE + " --deployment-config file://canary.txt"),
        (
            "deployment, bad number",
            _CREATE + " --deployment-config BlueGreenUpdatePolicy={TerminationWaitInSeconds=x}",
        ),
        ("deployment, open brace", _CREATE + " --deployment-config BlueGreenUpdatePolicy={"),
        (
            "deployment, open bracket",
            _CREATE + " --deployment-config AutoRollbackConfiguration={Alarms=[{AlarmName=a}",
        ),
        ("deployment, extra brace", _CREATE + " --deployment-config 'A={B=c}}'"),
        ("deployment, bad json", _CREATE + " --deployment-config '{nope}'"),
        ("deployment, plain word", _CREATE + " --deployment-config nope"),
        ("deployment, two lines", _CREATE + " --deployment-config 'A=b,\nC==d,\nE=f'"),
        (
            "deployment, alarms one scalar",
            _CREATE + f" --deployment-config '{CANARY[:-24]}{{Alarms={{AlarmName=a}}}}'",
        ),
        (
            "name from file",
            "sagemaker create-endpoint --endpoint-name file://name.txt --endpoint-config-name c",
        ),
        (
            "name from binary file",
            "sagemaker create-endpoint --endpoint-name fileb://name.txt --endpoint-config-name c",
        ),
        (
            "name from latin-1 file",
            "sagemaker create-endpoint --endpoint-name file://latin1.txt --endpoint-config-name c",
        ),
        (
            "name from nowhere",
            "sagemaker create-endpoint --endpoint-name file://nowhere.txt --endpoint-config-name c",
        ),
        (
            "name from home",
            "sagemaker create-endpoint --endpoint-name file://~/name.txt --endpoint-config-name c",
        ),
        (
            "name from http",
            "sagemaker create-endpoint --endpoint-name http://x/y --endpoint-config-name c",
        ),
        ("missing one option", "sagemaker create-endpoint --endpoint-name e"),
        ("missing all options", "sagemaker create-endpoint"),
        ("unknown option", _CREATE + " --nope"),
        ("unknown option with value", _CREATE + " --nope x"),
        ("unknown word", _CREATE + " nope"),
        (
            "option without value",
            "sagemaker create-endpoint --endpoint-config-name c --endpoint-name",
        ),
        ("ambiguous prefix", "sagemaker create-endpoint --endpoint e --endpoint-config-name c"),
    ]
    return [Line(name, text) for name, text in rows]


def _documents() -> list[Line]:
    create = "sagemaker create-endpoint"
    rows = [
        ("json document", create + f" --cli-input-json '{CREATE_JSON}'"),
        ("json document, file", create + " --cli-input-json file://create.json"),
        (
            "json document, option wins",
            create + " --cli-input-json file://create.json --endpoint-name mine",
        ),
        (
            "json document, tags replaced",
            create + " --cli-input-json file://create.json --tags Key=x,Value=y",
        ),
        (
            "json document, option first",
            create + " --endpoint-name mine --cli-input-json file://create.json",
        ),
        ("json document, bad", create + " --cli-input-json file://bad.json"),
        ("json document, bad text", create + " --cli-input-json nope"),
        ("json document, list", create + " --cli-input-json file://list.json"),
        ("json document, missing file", create + " --cli-input-json file:///nonexist"),
        ("json document, incomplete", create + " --cli-input-json '{}'"),
        (
            "json document, unknown member",
            create + " --cli-input-json "
            """'{"EndpointName":"e","EndpointConfigName":"c","Foo":1}'""",
        ),
        (
            "json document, wrong type",
            create + " --cli-input-json "
            """'{"EndpointName":5,"EndpointConfigName":"c"}'""",
        ),
        ("yaml document", create + " --cli-input-yaml file://create.yaml"),
        (
            "yaml document, text",
            create + " --cli-input-yaml 'EndpointName: e\nEndpointConfigName: c'",
        ),
        (
            "yaml document, option wins",
            create + " --cli-input-yaml file://create.yaml --endpoint-config-name mine",
        ),
        ("yaml document, bad", create + " --cli-input-yaml file://bad.yaml"),
        ("yaml document, scalar", create + " --cli-input-yaml nope"),
        ("both documents", create + " --cli-input-json '{}' --cli-input-yaml 'a: b'"),
        ("json document pages by hand", _LIST + """ --cli-input-json '{"MaxResults": 1}'"""),
        (
            "json document, abbreviated",
            create + " --cli-input-j file://create.json --endpoint-name e --endpoint-config-name c",
        ),
    ]
    lines = [Line(name, text, "two pages" if "list-" in text else "arn") for name, text in rows]
    skeletons = [
        ("skeleton", create + " --generate-cli-skeleton"),
        ("skeleton, input", create + " --generate-cli-skeleton input"),
        ("skeleton, yaml", create + " --generate-cli-skeleton yaml-input"),
        ("skeleton, output, incomplete", create + " --generate-cli-skeleton output"),
        ("skeleton, output", _CREATE + " --generate-cli-skeleton output"),
        (
            "skeleton, output, delete",
            "sagemaker delete-endpoint --endpoint-name e --generate-cli-skeleton output",
        ),
        (
            "skeleton, output, query",
            "sts get-caller-identity --generate-cli-skeleton output --query Account",
        ),
        ("skeleton, bad value", create + " --generate-cli-skeleton nope"),
        ("skeleton, delete", "sagemaker delete-endpoint --generate-cli-skeleton"),
        ("skeleton, no input", "sts get-caller-identity --generate-cli-skeleton"),
        ("skeleton, no input, yaml", "sts get-caller-identity --generate-cli-skeleton yaml-input"),
        ("skeleton, times", "sagemaker list-endpoints --generate-cli-skeleton"),
        ("skeleton, tags", "sagemaker add-tags --generate-cli-skeleton yaml-input"),
        ("skeleton, policy", "application-autoscaling put-scaling-policy --generate-cli-skeleton"),
        ("skeleton, events", "logs put-log-events --generate-cli-skeleton"),
        ("skeleton, wait", "sagemaker wait endpoint-deleted --generate-cli-skeleton"),
        (
            "skeleton, document",
            create + " --generate-cli-skeleton --cli-input-json file://create.json",
        ),
    ]
    return lines + [Line(name, text, "identity") for name, text in skeletons]


def _outputs() -> list[Line]:
    lines = [Line("describe", _DESCRIBE, "described"), Line("list", _LIST, "two pages")]
    for output in ("json", "text", "table", "yaml", "yaml-stream"):
        option = f" --output {output}"
        lines += [
            Line(f"describe as {output}", _DESCRIBE + option, "described"),
            Line(f"failed as {output}", _DESCRIBE + option, "failed"),
            Line(f"list as {output}", _LIST + option, "two pages"),
            Line(f"one page as {output}", _LIST + option, "one page"),
            Line(f"empty list as {output}", _LIST + option, "no endpoints"),
            Line(
                f"nothing as {output}",
                "sagemaker delete-endpoint --endpoint-name e" + option,
                "nothing",
            ),
            Line(f"create as {output}", _CREATE + option),
            Line(f"tags as {output}", f"sagemaker list-tags --resource-arn {ARN}" + option, "tags"),
            Line(
                f"odd texts as {output}",
                f"sagemaker list-tags --resource-arn {ARN}" + option,
                "odd tags",
            ),
            Line(
                f"odd names as {output}",
                f"sagemaker list-tags --resource-arn {ARN} --query Tags[].Value" + option,
                "odd tags",
            ),
            Line(
                f"query scalar as {output}",
                _DESCRIBE + option + " --query EndpointStatus",
                "described",
            ),
            Line(f"query miss as {output}", _DESCRIBE + option + " --query Nope", "described"),
            Line(
                f"query number as {output}",
                _DESCRIBE + option + " --query ProductionVariants[0].CurrentWeight",
                "described",
            ),
            Line(
                f"query rows as {output}",
                _LIST + option + " --query 'Endpoints[*].[EndpointName,EndpointStatus]'",
                "two pages",
            ),
            Line(
                f"query hash as {output}",
                _LIST + option + " --query 'Endpoints[].{N:EndpointName,S:EndpointStatus}'",
                "two pages",
            ),
            Line(
                f"query names as {output}",
                _LIST + option + " --query 'Endpoints[].EndpointName'",
                "two pages",
            ),
            Line(
                f"query length as {output}",
                _LIST + option + " --query 'length(Endpoints)'",
                "two pages",
            ),
            Line(f"max items as {output}", _LIST + option + " --max-items 1", "two pages"),
        ]
    rows = [
        ("emoji as yaml", f"sagemaker list-tags --resource-arn {ARN} --output yaml", "emoji"),
        ("emoji as json", f"sagemaker list-tags --resource-arn {ARN}", "emoji"),
        ("table, colour on", _DESCRIBE + " --output table --color on", "described"),
        ("table, colour off", _DESCRIBE + " --output table --color off", "described"),
        ("output, unknown", _DESCRIBE + " --output xml", "described"),
        ("output, abbreviated", _DESCRIBE + " --out text", "described"),
        ("colour, unknown", _DESCRIBE + " --color pink", "described"),
        ("query, bad", _DESCRIBE + " --query '['", "described"),
        ("query, bad function", _DESCRIBE + " --query 'nope(@)'", "described"),
        ("query, bad argument", _DESCRIBE + " --query 'length(`1`)'", "described"),
        ("no pager", _DESCRIBE + " --no-cli-pager", "described"),
    ]
    return lines + [Line(*row) for row in rows]


def _paging() -> list[Line]:
    rows = [
        ("page size", _LIST + " --page-size 2"),
        ("max items", _LIST + " --max-items 2"),
        ("max items, all", _LIST + " --max-items 100"),
        ("max items, zero", _LIST + " --max-items 0"),
        ("max items, no number", _LIST + " --max-items x"),
        ("page size, no number", _LIST + " --page-size x"),
        (
            "starting token",
            _LIST + " --starting-token eyJOZXh0VG9rZW4iOiBudWxsLCAiYm90b190cn"
            "VuY2F0ZV9hbW91bnQiOiAxfQ==",
        ),
        ("starting token, raw", _LIST + " --starting-token t1"),
        ("no paginate", _LIST + " --no-paginate"),
        ("no paginate, text", _LIST + " --no-paginate --output text"),
        ("no paginate with max items", _LIST + " --no-paginate --max-items 1"),
        ("by hand, max results", _LIST + " --max-results 1"),
        ("by hand, next token", _LIST + " --next-token t"),
        ("by hand with page size", _LIST + " --max-results 1 --page-size 1"),
        (
            "filters",
            _LIST + " --status-equals InService --sort-by Name --sort-order Ascending "
            "--name-contains a",
        ),
        ("timestamp filter", _LIST + " --creation-time-after 2024-01-02T03:04:05Z"),
        ("timestamp filter, epoch", _LIST + " --creation-time-after 1700000000"),
        ("timestamp filter, bad", _LIST + " --creation-time-after yesterday-ish"),
    ]
    return [Line(name, text, "two pages") for name, text in rows]


def _errors() -> list[Line]:
    none = ("AWS_EC2_METADATA_DISABLED", "true")
    return [
        Line("refused", _DESCRIBE, "refused"),
        Line("denied", _DESCRIBE, "denied"),
        Line("broken", _DESCRIBE, "broken"),
        Line("throttled", _DESCRIBE, "throttled"),
        Line("refused with output text", _DESCRIBE + " --output text", "refused"),
        Line("refused while listing", _LIST, "refused"),
        Line("no arguments", "", bare=True),
        Line("unknown command", "nope", bare=True),
        Line("service alone", "sagemaker", bare=True),
        Line("unknown operation", "sagemaker nope-endpoint"),
        Line("near operation", "sagemaker create-endpoints"),
        Line("bad url", _DESCRIBE + " --endpoint-url localhost", bare=True),
        Line(
            "connection refused",
            _DESCRIBE + " --endpoint-url http://127.0.0.1:1 --region r",
            bare=True,
        ),
        Line("no credentials", _DESCRIBE, credentials=False),
        Line(
            "no credentials, unsigned",
            _DESCRIBE + " --no-sign-request",
            "described",
            credentials=False,
        ),
        Line("unsigned", _DESCRIBE + " --no-sign-request", "described"),
        Line(
            "no region",
            _DESCRIBE + " --endpoint-url {url}",
            bare=True,
            env=(none, ("AWS_CONFIG_FILE", "/nonexistent")),
        ),
        Line("unknown profile", _DESCRIBE + " --profile nope"),
        Line("unknown profile in environment", _DESCRIBE, env=(("AWS_PROFILE", "nope"),)),
        Line("prompt both", _DESCRIBE + " --cli-auto-prompt --no-cli-auto-prompt"),
        Line("no auto prompt", _DESCRIBE + " --no-cli-auto-prompt", "described"),
        Line("timeout, no number", _DESCRIBE + " --cli-read-timeout x"),
        Line("timeouts", _DESCRIBE + " --cli-read-timeout 0 --cli-connect-timeout 5", "described"),
        Line("no verify ssl", _DESCRIBE + " --no-verify-ssl", "described"),
        Line("ca bundle, unused", _DESCRIBE + " --ca-bundle ca.pem", "described"),
        Line("binary format, unknown", _DESCRIBE + " --cli-binary-format hex"),
    ]


def _configuration() -> list[Line]:
    describe = _DESCRIBE + " --endpoint-url {url}"
    return [
        Line("profile", describe + " --profile p", "described", bare=True),
        Line(
            "profile by environment",
            describe,
            "described",
            bare=True,
            credentials=False,
            env=(("AWS_PROFILE", "p"),),
        ),
        Line(
            "profile, region option wins",
            describe + " --profile p --region us-west-2",
            "described",
            bare=True,
        ),
        Line("region of the configuration", describe, "described", bare=True),
        Line(
            "region by environment",
            describe,
            "described",
            bare=True,
            env=(("AWS_REGION", "ap-south-1"), ("AWS_DEFAULT_REGION", "ca-central-1")),
        ),
        Line(
            "default region by environment",
            describe,
            "described",
            bare=True,
            env=(("AWS_DEFAULT_REGION", "ca-central-1"),),
        ),
        Line(
            "output by environment",
            describe,
            "described",
            bare=True,
            env=(("AWS_DEFAULT_OUTPUT", "text"),),
        ),
        Line(
            "two profiles in the environment",
            describe,
            "described",
            bare=True,
            credentials=False,
            env=(("AWS_PROFILE", "p"), ("AWS_DEFAULT_PROFILE", "nope")),
        ),
        Line(
            "file encoding by environment",
            "sagemaker create-endpoint --endpoint-name file://latin1.txt --endpoint-config-name c",
            env=(("AWS_CLI_FILE_ENCODING", "latin-1"),),
        ),
        Line(
            "file encoding, unknown",
            "sagemaker create-endpoint --endpoint-name file://name.txt --endpoint-config-name c",
            env=(("AWS_CLI_FILE_ENCODING", "nope"),),
        ),
        Line("binary format of the profile, unknown", describe + " --profile hex", bare=True),
        Line("timestamps as sent", describe + " --profile wire --region r", "described", bare=True),
        Line("timestamps, unknown", describe + " --profile odd --region r", "described", bare=True),
        Line(
            "pager of the profile", describe + " --profile paged --region r", "described", bare=True
        ),
        Line(
            "session token", describe, "described", bare=True, env=(("AWS_SESSION_TOKEN", "tok"),)
        ),
    ]


def _update_and_others() -> list[Line]:
    variants = "VariantName=v,ModelName=m,InstanceType=ml.m5.large,InitialInstanceCount=2"
    rows = [
        ("flag", _UPDATE + " --retain-all-variant-properties"),
        ("negated flag", _UPDATE + " --no-retain-all-variant-properties"),
        (
            "both flags",
            _UPDATE + " --retain-all-variant-properties --no-retain-all-variant-properties",
        ),
        ("flag with a value", _UPDATE + " --retain-all-variant-properties true"),
        (
            "list of structures",
            _UPDATE + " --exclude-retained-variant-properties "
            "VariantPropertyType=DesiredWeight VariantPropertyType=DataCaptureConfig",
        ),
        ("variants", _CONFIG + f" --production-variants {variants}"),
        (
            "variants, weight",
            _CONFIG + f" --production-variants {variants},InitialVariantWeight=0.5",
        ),
        (
            "variants, bad weight",
            _CONFIG + f" --production-variants {variants},InitialVariantWeight=x",
        ),
        (
            "variants, core dump",
            _CONFIG
            + f" --production-variants {variants},CoreDumpConfig={{DestinationS3Uri=s3://b}}",
        ),
        (
            "boolean in shorthand",
            (
                "sagemaker create-endpoint-config --endpoint-config-name c --production-variants "
                f"{variants} --data-capture-config EnableCapture=TRUE,InitialSamplingPercentage=1,"
                "DestinationS3Uri=s3://b,CaptureOptions={CaptureMode=Input}"
            ),
        ),
        (
            "bad boolean in shorthand",
            (
                "sagemaker create-endpoint-config --endpoint-config-name c --production-variants "
                f"{variants} --data-capture-config EnableCapture=maybe,InitialSamplingPercentage=1,"
                "DestinationS3Uri=s3://b,CaptureOptions={CaptureMode=Input}"
            ),
        ),
        (
            "variants, nested",
            _CONFIG + f" --production-variants '{variants},"
            "ServerlessConfig={MemorySizeInMB=1024,MaxConcurrency=5}'",
        ),
        (
            "variants, minimum",
            _CONFIG + " --production-variants VariantName=v,ModelName=m,InitialInstanceCount=0",
        ),
        (
            "variants, two problems",
            _CONFIG + " --production-variants ModelName=m,InitialInstanceCount=0",
        ),
        (
            "capture",
            _CONFIG + f" --production-variants {variants} --data-capture-config "
            "'InitialSamplingPercentage=1,DestinationS3Uri=s3://b,CaptureOptions=[{CaptureMode=Input},"
            "{CaptureMode=Output}],CaptureContentTypeHeader={CsvContentTypes=[text/csv,a/b]}'",
        ),
        (
            "capture, abbreviated",
            _CONFIG + f" --production-variants {variants} --data "
            "'InitialSamplingPercentage=1,DestinationS3Uri=s3://b,CaptureOptions={CaptureMode=Input}'",
        ),
        (
            "model with map",
            (
                "sagemaker create-model --model-name m --execution-role-arn "
                "arn:aws:iam::000000000000:role/r --primary-container "
                "'Image=i,ModelDataUrl=s3://b/m.tar.gz,Environment={A=1,B=x y}'"
            ),
        ),
        (
            "model, containers",
            (
                "sagemaker create-model --model-name m --execution-role-arn "
                "arn:aws:iam::000000000000:role/r --containers Image=a Image=b"
            ),
        ),
        (
            "model, vpc",
            (
                "sagemaker create-model --model-name m --execution-role-arn "
                "arn:aws:iam::000000000000:role/r --vpc-config "
                "SecurityGroupIds=sg-1,sg-2,Subnets=subnet-1 --enable-network-isolation"
            ),
        ),
        (
            "weights",
            (
                "sagemaker update-endpoint-weights-and-capacities --endpoint-name e "
                "--desired-weights-and-capacities VariantName=v,DesiredWeight=0.1 "
                "VariantName=w,DesiredInstanceCount=3"
            ),
        ),
        ("list of words", "sagemaker delete-tags --resource-arn " + ARN + " --tag-keys a b 'c d'"),
        (
            "list of words, json",
            "sagemaker delete-tags --resource-arn " + ARN + """ --tag-keys '["a","b"]'""",
        ),
        (
            "list of words, bad json",
            "sagemaker delete-tags --resource-arn " + ARN + " --tag-keys '[a'",
        ),
        ("integer option", "sagemaker list-models --max-results 5"),
        ("integer option, no number", "sagemaker list-models --max-results five"),
        ("integer option, minimum", "sagemaker list-models --max-results 0"),
        ("renamed version", "sagemaker describe-image-version --image-name i --version-number 3"),
    ]
    return [Line(name, text) for name, text in rows]


def _invoke() -> list[Line]:
    out = " out.bin"
    rows = [
        ("invoke", _INVOKE + " --body MSwyLDM=" + out),
        ("invoke, no outfile", _INVOKE + " --body MSwyLDM="),
        ("invoke, bad base64", _INVOKE + " --body a" + out),
        (
            "invoke, text body",
            _INVOKE + " --body 1,2,3 --cli-binary-format raw-in-base64-out" + out,
        ),
        ("invoke, raw profile", _INVOKE + " --body 1,2,3 --profile raw" + out),
        ("invoke, binary file", _INVOKE + " --body fileb://body.bin" + out),
        ("invoke, base64 file", _INVOKE + " --body file://body.b64" + out),
        (
            "invoke, raw text file",
            _INVOKE + " --body file://body.csv --cli-binary-format raw-in-base64-out" + out,
        ),
        ("invoke, missing file", _INVOKE + " --body fileb://nowhere" + out),
        (
            "invoke, headers",
            _INVOKE + " --body MQ== --content-type text/csv --accept text/csv "
            "--custom-attributes 'a=b;c' --target-variant blue --inference-id i" + out,
        ),
        (
            "invoke, outfile first",
            "sagemaker-runtime invoke-endpoint out.bin --endpoint-name e --body MQ==",
        ),
        ("invoke, query", _INVOKE + " --body MQ== --query ContentType --output text" + out),
        ("invoke, bad outfile", _INVOKE + " --body MQ== nowhere/out.bin"),
        ("invoke, document", _INVOKE + " --body MQ== --cli-input-json '{}'" + out),
        ("invoke, document alone", _INVOKE + """ --cli-input-json '{"Body": "MQ=="}'""" + out),
        ("invoke, outfile without a name", _INVOKE + " --body MQ== ''"),
        ("invoke, empty body", _INVOKE + " --body ''" + out),
    ]
    lines = [Line(name, text, "prediction") for name, text in rows]
    return [
        *lines,
        Line("invoke, model error", _INVOKE + " --body MQ==" + out, "model error"),
        Line(
            "invoke, async",
            "sagemaker-runtime invoke-endpoint-async --endpoint-name e --input-location s3://b/k",
            "empty",
        ),
        Line(
            "invoke, runtime skeleton",
            "sagemaker-runtime invoke-endpoint-async --generate-cli-skeleton",
        ),
    ]


def _waiters() -> list[Line]:
    wait = "sagemaker wait"
    return [
        Line("wait, in service", wait + " endpoint-in-service --endpoint-name e", "described"),
        Line("wait, failed", wait + " endpoint-in-service --endpoint-name e", "failed"),
        Line("wait, deleted", wait + " endpoint-deleted --endpoint-name e", "refused"),
        Line("wait, gone", wait + " endpoint-in-service --endpoint-name e", "refused"),
        Line("wait, denied", wait + " endpoint-in-service --endpoint-name e", "denied"),
        Line("wait, nothing", wait),
        Line("wait, unknown", wait + " nope"),
        Line("wait, missing option", wait + " endpoint-in-service"),
        Line("wait, unknown option", wait + " endpoint-in-service --endpoint-name e --nope"),
    ]


def _other_services() -> list[Line]:
    target = "--service-namespace sagemaker --resource-id endpoint/e/variant/blue "
    target += "--scalable-dimension sagemaker:variant:DesiredInstanceCount"
    metric = "cloudwatch put-metric-data --namespace n"
    return [
        Line("identity", "sts get-caller-identity", "identity"),
        Line("identity as text", "sts get-caller-identity --output text", "identity"),
        Line("users", "iam list-users", "users"),
        Line("users, max items", "iam list-users --max-items 1", "users"),
        Line("users, by hand", "iam list-users --no-paginate --max-items 1", "users"),
        Line("log groups", "logs describe-log-groups --log-group-name-prefix /aws", "log groups"),
        Line(
            "log events",
            "logs get-log-events --log-group-name g --log-stream-name s --limit 2",
            "log events",
        ),
        Line(
            "log events as text",
            "logs get-log-events --log-group-name g --log-stream-name s --output text",
            "log events",
        ),
        Line(
            "log event times",
            "logs get-log-events --log-group-name g --log-stream-name s "
            "--start-time 1700000000000 --start-from-head",
            "log events",
        ),
        Line(
            "log event times, no number",
            "logs get-log-events --log-group-name g --log-stream-name s --start-time soon",
            "log events",
        ),
        *(
            Line(
                f"tail, {form}",
                f"logs tail g --since 2024-01-02T03:04:05Z --format {form} --color off "
                "--filter-pattern ERROR --log-stream-names a b",
                "filtered events",
            )
            for form in ("detailed", "short", "json")
        ),
        Line("tail, no group", "logs tail"),
        Line("tail, unknown format", "logs tail g --format long"),
        Line("tail, unknown option", "logs tail g --nope"),
        Line("tail, bad since", "logs tail g --since lately"),
        Line(
            "put log events",
            "logs put-log-events --log-group-name g --log-stream-name s "
            "--log-events timestamp=1700000000000,message='a b' "
            "timestamp=1700000000001,message=c",
            "empty",
        ),
        Line(
            "scalable target",
            f"application-autoscaling register-scalable-target {target} "
            "--min-capacity 1 --max-capacity 4 --suspended-state DynamicScalingInSuspended=true",
            "empty",
        ),
        Line(
            "scaling policy",
            f"application-autoscaling put-scaling-policy {target} "
            "--policy-name p --policy-type TargetTrackingScaling "
            "--target-tracking-scaling-policy-configuration 'TargetValue=70.5,"
            "PredefinedMetricSpecification={PredefinedMetricType="
            "SageMakerVariantInvocationsPerInstance},ScaleInCooldown=60'",
            "empty",
        ),
        Line(
            "scalable targets",
            "application-autoscaling describe-scalable-targets "
            "--service-namespace sagemaker --output table",
            "targets",
        ),
        Line(
            "metric datum",
            metric + " --metric-name m --value 1.5 --unit Count "
            "--dimensions InstanceId=i,Zone=z --storage-resolution 1",
            "nothing",
        ),
        Line(
            "metric statistics",
            metric + " --metric-name m --statistic-values Sum=10,Minimum=1,Maximum=5,SampleCount=4",
            "nothing",
        ),
        Line(
            "metric data",
            metric + " --metric-data MetricName=a,Value=1 MetricName=b,Value=2.5",
            "nothing",
        ),
        Line(
            "metric forms mixed",
            metric + " --metric-data MetricName=a,Value=1 --value 2",
            "nothing",
        ),
        Line("metric datum, bad value", metric + " --metric-name m --value x", "nothing"),
        Line(
            "alarm",
            "cloudwatch put-metric-alarm --alarm-name a --metric-name m --namespace n "
            "--period 60 --evaluation-periods 2 --threshold 5 --comparison-operator "
            "GreaterThanThreshold --statistic Sum --dimensions Name=EndpointName,Value=e "
            "--no-actions-enabled",
            "nothing",
        ),
        Line("alarm, missing", "cloudwatch put-metric-alarm --alarm-name a", "nothing"),
    ]


LINES: list[Line] = [
    *_create_endpoint(),
    *_documents(),
    *_outputs(),
    *_paging(),
    *_errors(),
    *_configuration(),
    *_update_and_others(),
    *_invoke(),
    *_waiters(),
    *_other_services(),
]
