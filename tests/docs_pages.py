"""Write the generated pages of docs/reference from the code they describe.

Run `make docs` after changing an operation, a field, an error, a setting or a metric; the suite
compares the pages with what this would write.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import json
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import botocore.session
from prometheus_client.parser import text_string_to_metric_families

import inservice
from inservice import config
from inservice.api import models
from inservice.api.application import SERVICES
from inservice.artifacts.limits import GIB, MIB, Limits
from inservice.aws.service_model import Service, Shape
from inservice.channel.storage_counts import StorageCounts
from inservice.cli import main as cli
from inservice.cli.aws import served
from inservice.cloudwatch.alarms import configuration
from inservice.cloudwatch.metrics.metric import TIERS
from inservice.errors import AwsError, ValidationError
from inservice.gateway.runtime.requests import FIELDS, model_request, read_target
from inservice.hosting.fields import SHAPES, Field, Standing
from inservice.operations import registry
from inservice.placement.host import Host
from inservice.telemetry.base import Scrape
from inservice.telemetry.happenings import Happenings
from inservice.telemetry.names import METRICS, ZEROES
from inservice.telemetry.prometheus import Totals, rendering
from inservice.transport.messages import Request
from tests.storage import reference as s3

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"

Table = Mapping[str, Mapping[str, Field]]

REFUSED_BY_CODE: Mapping[tuple[str, str, str], str] = {
    ("cloudwatch", "PutMetricData", "EntityMetricData"): "metrics do not belong to entities here",
    ("cloudwatch", "PutMetricData", "StrictEntityValidation"): "it belongs to EntityMetricData",
    ("cloudwatch", "GetMetricData", "LabelOptions"): "labels have no dynamic parts here",
    ("cloudwatch", "DescribeAlarmHistory", "AlarmContributorId"): "alarms watch one time series",
    ("cloudwatch", "ListMetrics", "IncludeLinkedAccounts"): "there are no linked accounts",
    ("cloudwatch", "ListMetrics", "OwningAccount"): "only one's own account",
    ("cloudwatch", "PutDashboard", "Tags"): "dashboards have no tags",
    ("logs", "CreateLogGroup", "kmsKeyId"): "there is no KMS; encrypt the disk",
    ("logs", "CreateLogGroup", "logGroupClass"): "only `STANDARD`",
    ("logs", "CreateLogGroup", "deletionProtectionEnabled"): "only `false`",
    ("logs", "DescribeLogGroups", "includeLinkedAccounts"): "there are no linked accounts",
    ("logs", "DescribeLogGroups", "accountIdentifiers"): "only one's own account",
    ("logs", "FilterLogEvents", "startFromHead"): "only `true`: events come oldest first",
}
"""What the functions themselves refuse, beside the tables; test_docs.py sends each of them."""

RUNTIME = "sagemaker-runtime"
RUNTIME_SERVED = ("InvokeEndpoint", "InvokeEndpointWithResponseStream")


def pages() -> Mapping[Path, Callable[[], str]]:
    """Every page and what writes it."""
    return {
        REFERENCE / "operations.md": operations_page,
        REFERENCE / "errors.md": errors_page,
        REFERENCE / "settings.md": settings_page,
        REFERENCE / "metrics.md": metrics_page,
        REFERENCE / "s3.md": s3.page,
        ROOT / "src" / "inservice" / "cli" / "aws" / served.FILE: served_list,
    }


def served_list() -> str:
    """What the help pages of the command line mark as served."""
    names: dict[str, list[str]] = {RUNTIME: sorted(RUNTIME_SERVED)}
    for operation in registry.operations():
        if operation.service != models.OWN:
            names.setdefault(operation.service, []).append(operation.name)
    return json.dumps(dict(sorted(names.items())), indent=1) + "\n"


def rows(head: Iterable[str], lines: Iterable[Iterable[str]]) -> Iterator[str]:
    """A Markdown table."""
    head = list(head)
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for line in lines:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |"
    yield ""


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


def first_sentence(text: str | None) -> str:
    """What a docstring begins with, on one line."""
    return " ".join(inspect.cleandoc(text or "").split("\n\n")[0].split())


# ── operations.md ───────────────────────────────────────────────────────────────────────────────
OPERATIONS = """\
# Operations

*Written by `make docs` from the functions in `src/inservice/operations/`, the table in
`src/inservice/hosting/fields.py` and the service models. Do not edit.*

Each operation below is served as AWS's model describes it, in every protocol that the model names.
What becomes of a member of its input is one of three things:

- **honoured**: it does what it does on AWS.
- **kept**: it is about AWS's machines and has no effect here. It is validated, kept and described
  as on AWS, and [a warning](../concepts/limits-and-differences.md#fields-without-effect) says so; a
  server that was started with `--strict` refuses it with `NotImplemented`.
- **refused**: it would change what a model does, or what is seen of it. The call fails with
  `NotImplemented`, which no client tries again, and names the member. Nothing is dropped in
  silence: a member that AWS's model has and this page does not is refused too.

Required members are in bold. An operation of AWS's that is not on this page answers
`NotImplemented`, status 400, and names itself: a code that no client tries again.
"""


def operations_page() -> str:
    """docs/reference/operations.md."""
    return _joined(_operations())


def _operations() -> Iterator[str]:
    yield OPERATIONS
    services = {name: models.load(name, keep=_built(name)) for name in SERVICES}
    yield from rows(
        ("service", "protocols", "signed for", "operations"), _overview(services.values())
    )
    shapes: list[str] = []
    for name in SERVICES:
        if _built(name):
            yield from _service(services[name], shapes)
    yield from _runtime()
    yield "## Shapes\n"
    yield "Structures inside the members above that have a table of their own.\n"
    while pending := [shape for shape in shapes if not shape.startswith("-")]:
        for shape in pending:
            shapes[shapes.index(shape)] = f"-{shape}"
            yield f"### {shape}\n"
            model = botocore.session.get_session().get_service_model("sagemaker")
            required = model.shape_for(shape).required_members
            lines = [
                (_marked(member, member in required), *_standing(field, shapes))
                for member, field in SHAPES[shape].items()
            ]
            yield from rows(("member", "standing", "notes"), lines)


def _built(service: str) -> set[str]:
    return {op.name for op in registry.operations() if op.service == service}


def _overview(services: Iterable[Service]) -> Iterator[tuple[str, ...]]:
    for service in services:
        served, all_of_them = len(_built(service.name)), len(service.operation_names)
        whose = "InService's own" if service.name == models.OWN else f"{all_of_them} on AWS"
        protocols = ", ".join(service.protocols)
        title = f"[{service.name}](#{service.name})" if served else service.name
        yield title, protocols, service.signing_name, f"{served} ({whose})"
    runtime = botocore.session.get_session().get_service_model(RUNTIME)
    on_aws = len(runtime.operation_names)
    link = f"[{RUNTIME}](#{RUNTIME})"
    yield link, "rest-json", "sagemaker", f"{len(RUNTIME_SERVED)} ({on_aws} on AWS)"


def _service(service: Service, shapes: list[str]) -> Iterator[str]:
    yield f"## {service.name}\n"
    for operation in registry.operations():
        if operation.service != service.name:
            continue
        yield f"### {operation.name}\n"
        yield first_sentence(operation.function.__doc__) + "\n"
        shape = service.operations[operation.name].input
        if shape is None or not service.shapes[shape].members:
            yield "It has no input.\n"
            continue
        lines = [
            (_marked(member, member in service.shapes[shape].required), *cells)
            for member, cells in _members(operation, service.shapes[shape], shapes)
        ]
        yield from rows(("member", "standing", "notes"), lines)


def _members(
    operation: registry.Operation, shape: Shape, shapes: list[str]
) -> Iterator[tuple[str, tuple[str, str]]]:
    taken = inspect.signature(operation.function).parameters
    for member in shape.members:
        refused = configuration.REFUSED if operation.name in _ALARM_PUTS else {}
        by_code = REFUSED_BY_CODE.get((operation.service, operation.name, member))
        if shape.name in SHAPES:
            field = SHAPES[shape.name].get(member, Field(Standing.REFUSED, "it is not known here"))
        elif registry.keyword_of(member) not in taken:
            field = Field(Standing.REFUSED, "it is not known here")
        elif why := by_code or refused.get(member):
            field = Field(Standing.REFUSED, why)
        else:
            field = Field(Standing.HONOURED)
        yield member, _standing(field, shapes)


_ALARM_PUTS = ("PutMetricAlarm", "PutCompositeAlarm")


def _standing(field: Field, shapes: list[str]) -> tuple[str, str]:
    notes = [field.says] if field.says else []
    if field.accepts:
        notes.insert(0, "only " + ", ".join(f"`{value}`" for value in field.accepts))
    if field.idle:
        notes.append("no warning for " + ", ".join(f"`{value}`" for value in field.idle))
    if field.shape:
        notes.append(f"see [{field.shape}](#{field.shape.lower()})")
        if field.shape not in shapes and f"-{field.shape}" not in shapes:
            shapes.append(field.shape)
    return field.standing.value, "; ".join(notes)


def _marked(name: str, required: bool) -> str:
    return f"**{name}**" if required else name


def _runtime() -> Iterator[str]:
    yield f"## {RUNTIME}\n"
    yield "Answered by the gateway itself. Beside these, `POST /endpoints/<name>/openai/v1/…` is"
    yield "passed to the model unchanged, for clients that speak OpenAI's dialect, and"
    yield "`GET /endpoints/<name>/openai/v1/models` names the endpoint as the one model there is.\n"
    model = botocore.session.get_session().get_service_model(RUNTIME)
    for name in RUNTIME_SERVED:
        yield f"### {name}\n"
        shape = model.operation_model(name).input_shape
        assert shape is not None
        lines = [
            (_marked(member, member in shape.required_members), *_runtime_member(name, of))
            for member, of in shape.members.items()
        ]
        yield from rows(("member", "standing", "notes"), lines)


def _runtime_member(operation: str, shape: Any) -> tuple[str, str]:
    header = shape.serialization.get("name", "").lower().encode()
    if shape.serialization.get("location") != "header":
        return "honoured", ""
    if header in FIELDS and not FIELDS[header].refused:
        line = FIELDS[header].line.decode()
        return "honoured", f"the model sees it as `{line}`" if line else "chooses the variant"
    return "refused", _refusal_of(operation, header)


def _refusal_of(operation: str, header: bytes) -> str:
    """What the gateway says to a request with this header: asked, not looked up."""
    ending = "invocations" + ("-response-stream" if "Stream" in operation else "")
    path = f"/endpoints/NAME/{ending}".encode()
    request = Request("POST", path, 1, [(header, b"x")])
    try:
        model_request(request, read_target(path), b"0", b"\r\n")
    except ValidationError as error:
        return error.message
    raise AssertionError(f"{header!r} is neither known nor refused")


# ── errors.md ───────────────────────────────────────────────────────────────────────────────────
ERRORS = """\
# Errors

*Written by `make docs` from the error classes. Do not edit.*

The code is what clients match (`error.response["Error"]["Code"]` in boto3, `__type` or
`x-amzn-errortype` on the wire). The same thing has different codes in different services, as on
AWS: a request that breaks a rule is `ValidationException` in SageMaker, `ValidationError` in the
runtime and CloudWatch (`InvalidParameterValue` or `MissingParameter` in those of its operations
whose models name them), `InvalidParameterException` in CloudWatch Logs. Not-found is a
`ValidationException` with status 400 in SageMaker.

`Sender` errors are the caller's to mend; `Receiver` errors are the server's, and what it logged
about one carries the request id that the caller was given.
"""


def errors_page() -> str:
    """docs/reference/errors.md."""
    return _joined(_errors())


def error_classes() -> list[type[AwsError]]:
    """Every error that can be answered: those with a code of their own, wherever they are."""
    for module in pkgutil.walk_packages(inservice.__path__, "inservice."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    found: list[type[AwsError]] = []
    waiting: list[type[AwsError]] = [AwsError]
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        if "code" in vars(one) and one is not AwsError and one.__module__.startswith("inservice."):
            found.append(one)
    return sorted(found, key=lambda one: (one.status, one.code, one.__module__))


def _errors() -> Iterator[str]:
    yield ERRORS
    yield from rows(
        ("code", "status", "fault", "when", "from"),
        (
            (
                f"`{one.code}`",
                str(one.status),
                one.fault,
                first_sentence(one.__doc__),
                one.__module__.removeprefix("inservice.").removesuffix(".errors"),
            )
            for one in error_classes()
        ),
    )
    yield "Why an *endpoint* failed is no error of a call: it is in its"
    yield "[FailureReason](../concepts/failure-reasons.md)."


# ── settings.md ─────────────────────────────────────────────────────────────────────────────────
SETTINGS = """\
# Settings

*Written by `make docs` from `src/inservice/config.py`. Do not edit.*

An option of `inservice up` wins over its variable, and the variable over the default. The server
writes what it started with to `settings.json` in its run directory, and each of its processes reads
that: a process that is started again has the settings of its siblings, whatever the environment has
become.
"""

SETTINGS_END = """\
## What else is read from the environment

- **Another S3** for artifacts: credentials, region, profile, proxies and certificates are found as
  boto3 finds them; the address is `AWS_ENDPOINT_URL_S3`, or `endpoint_url` of `s3` in the profile's
  `services` section. Where `AWS_ENDPOINT_URL_STS` (or `sts` there) names an STS, it is asked as
  the execution role. `AWS_ENDPOINT_URL` is ignored by the server: it usually names InService
  itself. See [which storage is meant](../howto/s3-artifacts.md#which-storage-is-meant).
- **Models** see none of this. A model's environment is its `Environment` and a few names from the
  host ([what a model sees](../howto/write-a-model.md#environment)).
- **Clients** read `INSERVICE_DATA_DIR` and AWS's own variables
  ([where commands go](cli.md#where-commands-go)).
"""


def settings_page() -> str:
    """docs/reference/settings.md."""
    return _joined(_settings())


def _settings() -> Iterator[str]:
    yield SETTINGS
    options = options_of("up")
    notes = comments_of(config.Settings)
    default = config.Settings(data_dir=Path("the user's data directory"))
    lines = []
    for field in fields(config.Settings):
        option = f"--{field.name.replace('_', '-')}"
        lines.append(
            (
                field.name,
                f"`{option}`" if option in options else "",
                f"`INSERVICE_{field.name.upper()}`",
                _default(getattr(default, field.name)),
                notes[field.name],
            )
        )
    yield from rows(("setting", "option", "variable", "default", "what it does"), lines)
    yield f"`--detach` of `inservice up` is no setting. Artifacts have fixed limits: {_limits()}.\n"
    yield SETTINGS_END


def options_of(*command: str) -> set[str]:
    """The long options in a command's help."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        cli.main([*command, "--help"])
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", said.getvalue()))


def comments_of(kind: type) -> dict[str, str]:
    """The comment behind each field of a class: its one line of documentation."""
    source = inspect.getsource(kind)
    found = {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            line = source.splitlines()[node.lineno - 1]
            found[node.target.id] = line.partition("  # ")[2]
    return found


def _default(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and value % MIB == 0 and value:
        return f"`{value}` ({value // MIB} MiB)"
    return "empty" if value == "" else f"`{value}`".lower() if value is False else f"`{value}`"


def _limits() -> str:
    limits = Limits()
    return (
        f"{limits.packed_bytes_max // GIB} GiB packed, {limits.unpacked_bytes_max // GIB} GiB "
        f"unpacked, {limits.entries_max:,} files, {limits.cache_bytes_max // GIB} GiB of cache"
    )


# ── metrics.md ──────────────────────────────────────────────────────────────────────────────────
PUBLISHED = """\
# Metrics

*Written by `make docs` from `src/inservice/telemetry/`. Do not edit.*

## CloudWatch

Names, units and namespaces are AWS's. Every metric is published twice, with the dimensions
{`EndpointName`, `VariantName`} and {`EndpointConfigName`, `EndpointName`, `VariantName`}: an alarm
on the second watches the new fleet of a deployment alone. Values have one-second resolution.
"""

PROMETHEUS = """\
## Prometheus

`GET /metrics`, with the token that is in `metrics.token` of the data directory as bearer token.
Counters begin at zero when control starts, as Prometheus expects; CloudWatch's metrics do not.
"""


def metrics_page() -> str:
    """docs/reference/metrics.md."""
    return _joined(_metrics())


def _metrics() -> Iterator[str]:
    yield PUBLISHED
    yield from rows(
        ("metric", "namespace", "unit", "a value is"),
        (
            (f"`{name}`", f"`{metric.namespace}`", metric.unit, metric.says)
            for name, metric in METRICS.items()
        ),
    )
    zeroes = ", ".join(f"`{name}`" for name in ZEROES)
    yield f"While nobody invokes a variant that is in service, these are zero: {zeroes}.\n"
    yield from rows(
        ("datapoints of", "are kept for"),
        ((_span(seconds), _span(kept)) for seconds, kept in TIERS.items()),
    )
    yield PROMETHEUS
    yield from rows(("metric", "type", "what it is"), _families())


def _span(seconds: int) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        if seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    raise AssertionError(seconds)


def _families() -> Iterator[tuple[str, str, str]]:
    scrape = Scrape(
        endpoints=(), fleets=(), alarms=(), storage=StorageCounts(), capacity=(Host(1, 1), ())
    )
    empty = rendering(Totals(), Happenings())(scrape).decode()
    for family in text_string_to_metric_families(empty):
        suffix = "_total" if family.type == "counter" else ""
        yield f"`{family.name}{suffix}`", family.type, family.documentation


def main() -> None:
    """Write the pages."""
    for path, write in pages().items():
        path.write_text(write(), encoding="utf-8")


if __name__ == "__main__":
    main()
