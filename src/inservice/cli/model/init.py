"""`inservice model init [DIR] --framework NAME`: a folder to begin a model in, which works."""

from __future__ import annotations

import argparse
import shlex
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from inservice.cli.spelling import OwnParser

_STARTERS: Final = "inservice.cli.model.starters"
_REQUESTS: Final = {"application/json": "request.json", "text/csv": "request.csv"}


@dataclass(frozen=True, slots=True)
class Starter:
    """A framework's folder, as its file has it; see `starters`."""

    framework: str
    about: str
    image: str
    needs: list[str]
    makes: str
    request: Mapping[str, str]
    answer: str
    files: Mapping[str, str]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def options(self) -> list[str]:
        """Of `model run`, and of `model create` as well."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return ["--image", self.image, *(o for each in variables for o in ("--env", each))]


def frameworks() -> list[str]:
    """Those that there is a folder for."""
    names = (each.name for each in files(_STARTERS).iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def starter(framework: str) -> Starter:
    """That of a framework."""
    text = files(_STARTERS).joinpath(f"{framework}.toml").read_text(encoding="utf-8")
    read: dict[str, Any] = tomllib.loads(text)
    return Starter(framework=framework, **read)


def parser(prog: str) -> argparse.ArgumentParser:
    """The options of `model init`."""
    options = OwnParser(
        prog=prog,
        description="Write a folder to begin a model in: code with SageMaker's handlers, a script "
        "that makes a small model, a test, and the next commands. Nothing is overwritten. "
        "Exit codes: 0 it is there, 1 something of it was there already, 2 wrong usage.",
    )
    options.add_argument(
        "directory", nargs="?", type=Path, default=Path(), metavar="DIR", help="where (here)"
    )
    options.add_argument("--framework", choices=frameworks(), required=True)
    return options


def run(options: argparse.Namespace) -> int:
    """Write it."""
    begun = starter(options.framework)
    wanted = contents(begun)
    there = [name for name in wanted if (options.directory / name).exists()]
    if there:
        sys.stderr.write(
            f"inservice model init: {', '.join(there)} in {options.directory} would be overwritten;"
            " nothing was written\n"
        )
        return 1
    try:
        for name, text in wanted.items():
            path = options.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        sys.stderr.write(f"inservice model init: {error}\n")
        return 1
    for name in wanted:
        sys.stdout.write(f"{options.directory / name}\n")
    sys.stderr.write(f"\nNext, in {options.directory}:\n{_commands(begun)}")
    return 0


def contents(begun: Starter) -> dict[str, str]:
    """Every file, by its path in the folder."""
    request = _REQUESTS[begun.request["kind"]]
    given = {name: text.lstrip("\n") for name, text in begun.files.items()}
    return {
        **given,
        request: begun.request["body"] + "\n",
        "test_model.py": _test(begun, request),
        "README.md": _readme(begun, request),
    }


def _commands(begun: Starter) -> str:
    made = [] if "train.py" not in begun.files else [f"  {_training(begun)}"]
    made += [] if made else [f"  # {begun.makes}"]
    options = shlex.join(begun.options)
    return "\n".join([*made, f"  inservice model run model {options}", "  pytest", ""])


def _training(begun: Starter) -> str:
    """With or without what it needs installed here."""
    needs = " ".join(f"--with {each}" for each in begun.needs)
    return f"python train.py            # or: uv run {needs} train.py"


def _readme(begun: Starter, request: str) -> str:
    options = shlex.join(begun.options)
    pip = f"It needs {', '.join(begun.needs)}: `pip install {' '.join(begun.needs)}`.\n"
    made = f"1. Make the model: {begun.makes}. {pip if begun.needs else ''}"
    return f"""# A model for {begun.about}

`model/` is what is packed and deployed; what is beside it stays here.

{made.strip()}
2. Serve it here, without a server and without AWS. It starts anew whenever a file changes:

   ```bash
   inservice model run model {options}
   ```

   and ask it, in another terminal:

   ```bash
   curl -H 'Content-Type: {begun.request["kind"]}' --data-binary @{request} \\
       http://127.0.0.1:8080/invocations
   ```

3. Test it: `pytest`
4. See whether it would work, then deploy it:

   ```bash
   tar -czf model.tar.gz -C model .
   inservice model lint model.tar.gz {options}
   inservice up --detach
   inservice model create mine --artifact model.tar.gz {options}
   inservice endpoint create mine --model mine --wait
   inservice endpoint invoke mine --body "$(cat {request})" --content-type {begun.request["kind"]}
   ```
"""


def _test(begun: Starter, request: str) -> str:
    return f'''"""The model, asked as a client of its endpoint would ask it."""

import re
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMMAND = ["inservice", "model", "run", str(HERE / "model"), "--port", "0"]
OPTIONS = {begun.options!r}


@pytest.fixture(scope="module")
def url():
    """Where it is served, for as long as the tests run. Its packages may have to be installed
    first, which takes minutes."""
    with tempfile.TemporaryDirectory() as directory:
        printed = Path(directory, "printed")
        with printed.open("w") as file:
            process = subprocess.Popen([*COMMAND, *OPTIONS], stdout=file, stderr=file)
        try:
            while not (found := re.search(r"at (http://\\S+:[0-9]+)", printed.read_text())):
                if process.poll() is not None or "Waiting for a change" in printed.read_text():
                    pytest.fail(printed.read_text())
                time.sleep(0.1)
            yield found[1]
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def test_it_answers(url):
    body = (HERE / "{request}").read_bytes()
    headers = {{"Content-Type": "{begun.request["kind"]}"}}
    request = urllib.request.Request(f"{{url}}/invocations", body, headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = response.read().decode()
    assert {begun.answer}, answer
'''
