"""`inservice policy test WHO ACTION [RESOURCE …]`: yes or no, and which statement says so.

The server decides, by the function that decides about requests. What is asked about need not exist.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from inservice.cli.connection import REFUSED, client, explained, parser_of
from inservice.cli.policy.documents import Document, held, to_the_letter

DENIED: Final = 1
NOT_FOUND_OUT: Final = 3
"""Not 1: a test that wants a denial must not take an unreachable server for one."""

_LISTS: Final = frozenset(
    {
        *("aws:tagkeys", "aws:calledvia", "sagemaker:instancetypes", "sagemaker:vpcsubnets"),
        *("sagemaker:vpcsecuritygroupids",),
    }
)
"""Condition keys that have several values, also where one is given."""

_TYPES: Final[Mapping[str, str]] = {
    "aws:sourceip": "ip",
    "aws:currenttime": "date",
    "aws:tokenissuetime": "date",
    "aws:epochtime": "numeric",
    "aws:securetransport": "boolean",
    "aws:multifactorauthpresent": "boolean",
    "aws:viaawsservice": "boolean",
}
"""Whatever is not here is a string to AWS's simulator as well."""

_STATEMENT_LINES_MAX: Final = 24


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `policy test`."""
    options = parser_of(
        prog,
        "Whether somebody may do something, and why: the statement that decides, or what is "
        "missing. Exit code 0: all of it is allowed; 1: some of it is denied; 3: it could not be "
        "found out.",
    )
    options.add_argument(
        "who",
        metavar="WHO",
        help="a user, role or group (ana, role/ana, an ARN), or a file with a policy "
        "(policy.json, ./policy)",
    )
    options.add_argument("action", metavar="ACTION", help="sagemaker:InvokeEndpoint")
    options.add_argument(
        "resource",
        nargs="*",
        metavar="RESOURCE",
        help="an ARN, or its end, endpoint/digits, for one in this account and region (default: *)",
    )
    options.add_argument(
        "--context",
        action="append",
        default=[],
        type=_pair,
        metavar="KEY=VALUE",
        help="a condition key of the request, aws:SourceIp=192.0.2.7; twice: it has two",
    )
    options.add_argument("--output", choices=("text", "json"), default="text")
    return options


def run(options: argparse.Namespace) -> int:
    """Ask, tell, and say it by the exit code."""
    answers: list[bool] = []

    def found_out(options: argparse.Namespace) -> int:
        answers.append(_test(options))
        return 0

    code = explained(found_out, options)
    if answers:
        return 0 if answers[0] else DENIED
    return NOT_FOUND_OUT if code == REFUSED else code


def _test(options: argparse.Namespace) -> bool:
    iam = to_the_letter(client(options, "iam"))
    resources = [_arn(options, resource) for resource in options.resource]
    request: dict[str, Any] = {
        "ActionNames": [options.action],
        "ContextEntries": _entries(options.context),
        **({"ResourceArns": resources} if resources else {}),
    }
    if _is_file(options.who):
        text = Path(options.who.removeprefix("file://")).expanduser().read_text(encoding="utf-8")
        documents = [Document("PolicyInputList.1", options.who, options.who, text)]
        simulation = "simulate_custom_policy"
        request["PolicyInputList"] = [text]
    else:
        arn, kind, name = _principal(iam, options.who)
        documents = list(held(iam, kind, name))
        simulation = "simulate_principal_policy"
        request["PolicySourceArn"] = arn
    pages = iam.get_paginator(simulation).paginate(**request)
    results = pages.build_full_result()["EvaluationResults"]
    if options.output == "json":
        sys.stdout.write(json.dumps({"EvaluationResults": results}, indent=4) + "\n")
    else:
        for result in results:
            sys.stdout.writelines(f"{line}\n" for line in _told(result, documents))
    return all(result["EvalDecision"] == "allowed" for result in results)


# ── who, and what ───────────────────────────────────────────────────────────────────────────────
_KINDS: Final = ("user", "role", "group")


def _is_file(who: str) -> bool:
    if who.startswith(("arn:", *(f"{kind}/" for kind in _KINDS))):
        return False
    return who.startswith("file://") or "/" in who or who.endswith(".json")


def _principal(iam: Any, who: str) -> tuple[str, str, str]:
    """ARN, kind and name. Raises ValueError for a name that nobody has, or two of different
    kinds."""
    if who.startswith("arn:"):
        kind, *path = who.split(":", 5)[-1].split("/")
        if kind not in _KINDS or not path:
            raise ValueError(f"{who} is no user, role or group")
        return who, kind, path[-1]
    kind, slash, name = who.rpartition("/")
    found = []
    for each in [kind] if slash else _KINDS:
        try:
            noun = each.capitalize()
            answer = getattr(iam, f"get_{each}")(**{f"{noun}Name": name})[noun]
            found.append((str(answer["Arn"]), each, str(answer[f"{noun}Name"])))
        except iam.exceptions.NoSuchEntityException:
            continue
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f'"{who}" is {" and ".join(one[0] for one in found)}: say which')
    raise ValueError(f'There is no user, role or group "{who}".')


def _arn(options: argparse.Namespace, resource: str) -> str:
    """An ARN that is given by its end is completed with the service of the action."""
    if resource == "*" or resource.startswith("arn:"):
        return resource
    service = options.action.partition(":")[0].lower()
    if service == "s3":
        return f"arn:aws:s3:::{resource}"
    sts = client(options, "sts")
    partition, account = sts.get_caller_identity()["Arn"].split(":")[1:5:3]
    region = "" if service == "iam" else sts.meta.region_name
    return f"arn:{partition}:{service}:{region}:{account}:{resource}"


def _pair(written: str) -> tuple[str, str]:
    key, equals, value = written.partition("=")
    if not equals or ":" not in key:
        raise argparse.ArgumentTypeError(f"{written!r} is no KEY=VALUE, aws:SourceIp=192.0.2.7")
    return key, value


def _entries(pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    values: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for key, value in pairs:
        values.setdefault(key.lower(), []).append(value)
        names.setdefault(key.lower(), key)
    return [
        {
            "ContextKeyName": names[key],
            "ContextKeyValues": given,
            "ContextKeyType": _TYPES.get(key, "string")
            + ("List" if len(given) > 1 or key in _LISTS else ""),
        }
        for key, given in values.items()
    ]


# ── why ─────────────────────────────────────────────────────────────────────────────────────────
_WORDS: Final = {"allowed": "allowed", "explicitDeny": "denied", "implicitDeny": "denied"}


def _told(result: Mapping[str, Any], documents: Sequence[Document]) -> list[str]:
    decision, action = result["EvalDecision"], result["EvalActionName"]
    lines = [f"{_WORDS[decision]}  {action} on {result['EvalResourceName']}"]
    if decision == "implicitDeny":
        bound = result.get("PermissionsBoundaryDecisionDetail", {})
        missing = bound.get("AllowedByPermissionsBoundary") is False
        kind = "permissions boundary" if missing else "identity-based policy"
        lines.append(f"  no {kind} allows it")
    for match in result.get("MatchedStatements", ()):
        lines += _of_match(match, documents)
    if unknown := result.get("MissingContextValues"):
        lines.append(f"  not told, and asked for by a condition: {', '.join(unknown)} (--context)")
    return lines


def _of_match(match: Mapping[str, Any], documents: Sequence[Document]) -> list[str]:
    name, start, end = match["SourcePolicyId"], match["StartPosition"], match["EndPosition"]
    line, column = start["Line"], start["Column"]
    for document in documents:
        if document.id != name:
            continue
        statement = document.statement_at(line, column, (end["Line"], end["Column"]))
        if statement is not None:
            break
    else:
        return [f"  by {name}, line {line}"]
    sid = f', Sid "{statement["Sid"]}"' if statement.get("Sid") else ""
    whose = f" of {document.origin}" if document.origin != document.name else ""
    shown = json.dumps(statement, indent=2, ensure_ascii=False).splitlines()
    if len(shown) > _STATEMENT_LINES_MAX:
        shown = [*shown[:_STATEMENT_LINES_MAX], "  …"]
    return [f"  by {document.name}{whose}, line {line}{sid}:", *(f"    {one}" for one in shown)]
