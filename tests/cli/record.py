"""Record what AWS CLI version 2 does with every argument line: `python -m tests.cli.record`.

Takes about a second per line. The recordings are committed; the suite compares ours with them.
Run it again after adding a line, and read the difference. Names given as arguments record only
those lines.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cli.lines import LINES
from tests.cli.recorder import recording_server
from tests.cli.runs import RIVAL, prepare, run_rival

RECORDINGS = Path(__file__).with_name("recordings.json")


def rival_version() -> str:
    """The first word of its version line, or "" when it is not installed or not version 2."""
    try:
        done = subprocess.run([RIVAL, "--version"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    version = done.stdout.split(" ")[0]
    return version if version.startswith("aws-cli/2") else ""


def main(names: list[str]) -> None:
    """Record the named lines, or all."""
    version = rival_version()
    if not version:
        raise SystemExit(f"{RIVAL} is not AWS CLI version 2")
    recorded = json.loads(RECORDINGS.read_text())["lines"] if RECORDINGS.exists() else {}
    wanted = [line for line in LINES if not names or line.name in names]
    with recording_server() as server, tempfile.TemporaryDirectory() as directory:
        prepare(Path(directory))
        for line in wanted:
            recorded[line.name] = run_rival(line, server, Path(directory))
    known = {line.name for line in LINES}
    lines = {name: recorded[name] for name in sorted(recorded) if name in known}
    text = json.dumps({"version": version, "lines": lines}, indent=1, ensure_ascii=False)
    RECORDINGS.write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
