"""Where a test and a model that a server runs see the same files.

A model is another user than the test, and has a `/tmp` of its own: of a directory below the host's,
pytest's `tmp_path` among them, it sees nothing. `/var/tmp` is everybody's.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

SEEN_BY_BOTH = "/var/tmp"
"""A directory that tests and models see alike."""


@contextlib.contextmanager
def meeting_place() -> Iterator[Path]:
    """A directory for files by which they tell one another how far they are; removed afterwards,
    which a model that waits for a file in it takes for the end of its waiting."""
    with tempfile.TemporaryDirectory(prefix="is-", dir=SEEN_BY_BOTH) as name:
        place = Path(name)
        place.chmod(0o777)  # the model is another user
        yield place
