"""The variables of `inservice env`, in each form, read back by what reads such files."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
from dotenv import dotenv_values

from inservice.cli import exports
from inservice.cli.target import Target
from tests.cli.conftest import Run

TARGET = Target("http://127.0.0.1:7420", "eu-central-1", "AKIAOURS", "s3cret/with+signs")

STRANGE = (
    "plain",
    "",
    "with a blank",
    "it's",
    'say "so"',
    "two\nlines",
    "back\\slash",
    "#no comment",
    "$HOME `id`",
    "END_OF_VALUE\nEND_OF_VALUE_",
)

CALLER = {
    "AWS_SESSION_TOKEN": "theirs",
    "AWS_REGION": "us-west-2",
    "AWS_ENDPOINT_URL_S3": "http://minio:9000",
    "AWS_ENDPOINT_URL_SAGEMAKER": "http://elsewhere",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_PROFILE": "production",
}


def github_values(text: str) -> dict[str, str]:
    """As the runner of GitHub Actions reads the file of GITHUB_ENV."""
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        if not line:
            continue
        name, equals, value = line.partition("=")
        heredoc = line.partition("<<")
        if heredoc[1] and (not equals or line.index("<<") < line.index("=")):
            name, inside = heredoc[0], []
            while (one := next(lines)) != heredoc[2]:
                inside.append(one)
            value = "\n".join(inside)
        found[name] = value
    return found


def bash_values(script: str, before: Mapping[str, str]) -> dict[str, str]:
    """The environment of a bash that has read the script."""
    run = ["bash", "-c", 'eval "$1"; env -0', "bash", script]
    out = subprocess.run(
        run, env={"PATH": "/usr/bin:/bin", **before}, capture_output=True, check=True
    )
    return dict(one.split("=", 1) for one in out.stdout.decode().split("\0") if one)


@pytest.mark.parametrize("value", STRANGE)
def test_a_value_comes_through_every_form(value: str) -> None:
    wanted: dict[str, str | None] = {"ONE": value, "TWO": "after", "GONE": None}
    assert json.loads(exports.as_json(wanted)) == wanted
    shell = bash_values(exports.as_shell(wanted), {"GONE": "1"})
    assert (shell["ONE"], shell["TWO"]) == (value, "after")
    assert "GONE" not in shell
    expected = {"ONE": value, "TWO": "after"}
    assert dotenv_values(stream=io.StringIO(exports.as_dotenv(wanted))) == expected
    assert github_values(exports.as_github(wanted)) == expected


def test_no_variable_leads_a_request_with_our_key_elsewhere() -> None:
    wanted = exports.variables(TARGET, CALLER)
    shell = bash_values(exports.as_shell(wanted), CALLER)
    ours = {name: value for name, value in shell.items() if name.startswith("AWS_")}
    assert ours == {
        "AWS_ENDPOINT_URL": TARGET.url,
        "AWS_ACCESS_KEY_ID": TARGET.access_key_id,
        "AWS_SECRET_ACCESS_KEY": TARGET.secret_access_key,
        "AWS_DEFAULT_REGION": TARGET.region,
        "AWS_REGION": TARGET.region,
    }
    for form in (exports.as_github, exports.as_dotenv):
        read = github_values(form(wanted))
        assert {read[name] for name in read if "ENDPOINT_URL_" in name} == {TARGET.url}
        assert read["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] == "false"
        assert read["AWS_SESSION_TOKEN"] == ""


def test_another_store_stays_for_who_names_it_again() -> None:
    store = "https://store.example"
    for environment in (CALLER, {}):
        wanted = exports.variables(TARGET, environment, s3_endpoint_url=store)
        shell = bash_values(exports.as_shell(wanted), environment)
        addresses = {name: value for name, value in shell.items() if "ENDPOINT_URL" in name}
        assert addresses == {"AWS_ENDPOINT_URL": TARGET.url, "AWS_ENDPOINT_URL_S3": store}
        for form in (exports.as_github, exports.as_dotenv):
            assert github_values(form(wanted))["AWS_ENDPOINT_URL_S3"] == store
        assert json.loads(exports.as_json(wanted))["AWS_ENDPOINT_URL_S3"] == store


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--s3-endpoint-url=ftp://store",), "is not an http or https URL"),
        (("--s3-endpoint-url=http://store", "--profile=p"), "does not go with --profile"),
    ],
)
def test_an_address_that_cannot_be_told_is_refused(inservice: Run, words: Any, says: str) -> None:
    ran = inservice("env", *words)
    assert ran.code == 2
    assert says in ran.err
