"""Hosts of other shapes than the one that the suite runs on, each a mount namespace made for it.

    python -m tests.contracts.hosts SHAPE[,SHAPE…] MODULE:FUNCTION [ARGUMENT]

calls a function on such a host, and ends as it does. Only root can make them; a shape named
`ordinary` then gives root up.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inservice.runtimes.process import mounting

ORDINARY = 31_234
"""A user who has nothing here."""

_ROOT = Path(__file__).parents[2]
_NEW_NAMESPACE = 0x00020000


def on(shapes: str, function: Callable[..., Any], argument: Any = None) -> Any:
    """What a function returns on a host of these shapes."""
    named = f"{function.__module__}:{function.__qualname__}"
    finished = subprocess.run(
        [sys.executable, "-m", "tests.contracts.hosts", shapes, named, json.dumps(argument)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=_ROOT,
    )
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-4000:]
    return json.loads(finished.stdout.splitlines()[-1])


def _cover(path: str) -> None:
    mounting.mount("tmpfs", path, "tmpfs", 0, b"mode=0755,size=16m")


def _without_opt() -> None:
    """As a small image of a container is."""
    root = mounting.NewRoot({"opt"})
    mounting.close_cover("/")
    root.finish()


def _opt() -> None:
    """With things of others in it: a tool, a link, a link to nothing, a Python."""
    Path("/opt").mkdir(exist_ok=True)
    _cover("/opt")
    Path("/opt/tool/bin").mkdir(parents=True)
    Path("/opt/tool/bin/run").write_text("a tool")
    Path("/opt/current").symlink_to("tool")
    Path("/opt/nowhere").symlink_to("/no/such/place")
    Path("/opt/a file.txt").write_text("a file")
    Path("/opt/private").mkdir(0o700)


def _opt_ml() -> None:
    """Somebody has made the directory for their own code, and filled it."""
    _opt()
    for name in ("model", "input", "data"):
        Path("/opt/ml", name).mkdir(parents=True)
        Path("/opt/ml", name, "of the host").write_text("host")


def _opt_linked() -> None:
    """As where /usr and / are read-only: /opt is elsewhere."""
    _without_opt_entry = Path("/var/opt")
    _without_opt_entry.mkdir(exist_ok=True)
    _cover("/var/opt")
    Path("/var/opt/tool").write_text("a tool")
    root = mounting.NewRoot({"opt"})
    Path("/opt").symlink_to("var/opt")
    mounting.close_cover("/")
    root.finish()


def _opt_closed() -> None:
    _opt()
    Path("/opt").chmod(0o700)


def _opt_ml_loop() -> None:
    _opt()
    Path("/opt/ml").symlink_to("ml")


def _opt_ml_dangling() -> None:
    _opt()
    Path("/opt/ml").symlink_to("/opt/gone/ml")


def _opt_ml_file() -> None:
    _opt()
    Path("/opt/ml").write_text("a file")


def _python_in_opt() -> None:
    """Where tools are kept that are not of the distribution."""
    _opt()
    python = Path("/opt/python")
    python.mkdir()
    held = mounting.hold(sys.base_prefix)
    mounting.mount(f"/proc/self/fd/{held}", str(python), flags=mounting.MS_BIND | mounting.MS_REC)
    os.close(held)


def _ordinary() -> None:
    """Somebody else than root, who can pass to the Python of this suite."""
    for above in reversed(Path(sys.base_prefix).parents):
        if above != Path("/") and not above.stat().st_mode & 0o001:
            held = mounting.hold(sys.base_prefix)
            _cover(str(above))
            Path(sys.base_prefix).mkdir(parents=True)
            source = f"/proc/self/fd/{held}"
            mounting.mount(source, sys.base_prefix, flags=mounting.MS_BIND | mounting.MS_REC)
            os.close(held)
            break
    os.setgroups([])
    os.setresgid(ORDINARY, ORDINARY, ORDINARY)
    os.setresuid(ORDINARY, ORDINARY, ORDINARY)
    os.environ["HOME"] = "/tmp"
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # its own /proc again


SHAPES: dict[str, Callable[[], None]] = {
    "as it is": lambda: None,
    "without opt": _without_opt,
    "opt": _opt,
    "opt linked": _opt_linked,
    "opt closed": _opt_closed,
    "opt ml": _opt_ml,
    "opt ml loop": _opt_ml_loop,
    "opt ml dangling": _opt_ml_dangling,
    "opt ml file": _opt_ml_file,
    "python in opt": _python_in_opt,
    "ordinary": _ordinary,
}


def why_not() -> str:
    """Why no such host can be made here; empty if one can."""
    if os.getuid() != 0:
        return "only root can make hosts of other shapes"
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-m", "true"], check=False).returncode != 0:
        return "this host grants no mount namespace"
    return ""


def main() -> None:
    """See above."""
    shapes, named, argument = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NAMESPACE) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    mounting.mount("none", "/", flags=mounting.MS_REC | mounting.MS_PRIVATE)
    module, _, name = named.partition(":")
    function = getattr(importlib.import_module(module), name)
    for shape in shapes.split(","):
        SHAPES[shape]()
    os.chdir(_ROOT)
    print(json.dumps(function(json.loads(argument))))


if __name__ == "__main__":
    main()
