"""What a server costs to start and to stop again: `python -m benchmarks.starting`.

    total        CPU of `inservice up --detach` and `inservice down` and of all that they started,
                 as the kernel counts it for whoever waits for them
    by process   the same as it was last seen, a hundred times a second: without its last moments

On a new data directory, and on the same one again. What every process of a server pays, Python and
its imports, is most of it, so a machine that has more to do shows more of it.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from pathlib import Path

import psutil
from benchmarks.growth import cpu_seconds

from inservice.linux import become_subreaper

KINDS = {
    "inservice.cli.main up": "up",
    "inservice.cli.main down": "down",
    "inservice.supervision": "supervisor",
    "inservice.app": "control",
    "inservice.gateway.worker": "gateway worker",
    "inservice.runtimes.process.daemon": "fork server",
    "inservice: fork server": "fork server",
}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starting")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    become_subreaper()  # what is detached becomes ours, to be waited for
    rows: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="inservice-bench-") as place:
            for which in ("new", "again"):
                for kind, seconds in up_and_down(Path(place)).items():
                    rows[kind, which].append(seconds)
    print(f"{'CPU ms, medians':<20}{'new':>8}{'again':>8}")
    for kind in dict.fromkeys(kind for kind, _ in rows):
        shown = [statistics.median(rows.get((kind, which)) or [0.0]) for which in ("new", "again")]
        print(f"{kind:<20}" + "".join(f"{seconds * 1000:>8.0f}" for seconds in shown))
    return 0


def up_and_down(data_dir: Path) -> Counter[str]:
    """CPU-seconds by kind of process, and in all."""
    seen: dict[int, tuple[str, float]] = {}
    over = threading.Event()
    watching = threading.Thread(target=_watch, args=[seen, over])
    before = _of_children()
    watching.start()
    try:
        for words in (["up", "--detach", "--port=0"], ["down"]):
            subprocess.run(
                [sys.executable, "-m", "inservice.cli.main", *words, f"--data-dir={data_dir}"],
                stdout=subprocess.DEVNULL,
                check=True,
            )
        while True:
            os.wait()
    except ChildProcessError:  # all of them have ended
        pass
    finally:
        over.set()
        watching.join()
    used: Counter[str] = Counter()
    used["total"] = _of_children() - before  # type: ignore[assignment]
    for kind, seconds in seen.values():
        used[kind] += seconds  # type: ignore[assignment]
    return used


def _watch(seen: dict[int, tuple[str, float]], over: threading.Event) -> None:
    ours = psutil.Process()
    while not over.wait(0.01):
        for process in ours.children(recursive=True):
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            kind = next((name for part, name in KINDS.items() if part in line), None)
            known, last = seen.get(process.pid, ("something else", 0.0))
            seen[process.pid] = kind or known, max(last, cpu_seconds(process.pid))


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
