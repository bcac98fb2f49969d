"""How a process of the server begins and ends: `python -m inservice.starting MODULE [arguments]`.

What a process imports is there until its end, and control imports a thousand modules. Python looks
for garbage in them sixty times over while they are imported, and walks all of them again at its end
to take them apart, although the kernel has the memory back a moment later. Of what control costs to
start and to stop those two are a quarter. So nothing is looked for until MODULE is there, and what
is there by the end is left to the kernel. Threads are waited for and streams are flushed as always.

What ends up in a process although nobody asked for it is kept out here as well: see `UNWANTED`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from importlib import import_module

UNWANTED = ("rich",)
"""structlog imports it wherever it is installed, 50 modules, to draw a traceback with the value of
every variable in it. Those values are keys, and what users put into Environment: no log has them.
"""


def main(argv: list[str] | None = None) -> int | None:
    """Import the module that is named first and give what its `main()` gives, which finds the rest
    of the arguments where it looks for them."""
    sys.argv = list(sys.argv[1:] if argv is None else argv)
    gc.disable()
    _keep_out(UNWANTED)
    run = import_module(sys.argv[0]).main
    gc.freeze()
    gc.enable()
    try:
        code: int | None = run()
        return code
    finally:
        gc.freeze()


def _keep_out(names: Iterable[str]) -> None:
    """Have imports of these fail, as if they were not installed."""
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
