"""`python -m tests.contracts.environments_control <place> [prune]`: a control that wants an
environment, to be killed while it is built. Prints the interpreter that it was handed, or removes
what there is."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.contracts.environments_kit import IMAGE, Host


def main() -> None:
    """Ask as a launch does: for an image, and for code that has something to be built."""
    host = Host(Path(sys.argv[1]))

    async def asked() -> None:
        builds = host.builds()
        if "prune" in sys.argv:
            await builds.prune(0.0)
            await builds.close()
            return
        python = await builds.interpreter(IMAGE, host.place / "code")
        sys.stdout.write(python.executable)
        await builds.close()

    asyncio.run(asked())


if __name__ == "__main__":
    main()
