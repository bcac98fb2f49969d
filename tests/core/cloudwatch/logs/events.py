"""Logs as instances write them: files of lines, rotated."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from inservice.instance_logs.groups import FileStream


def in_files(
    directory: Path, lines: Sequence[tuple[int, str]], count: int, chance: random.Random
) -> FileStream:
    """A stream of `count` files, oldest first, cut anywhere between two lines."""
    cuts = sorted(chance.randrange(len(lines) + 1) for _ in range(count - 1))
    files = []
    for number, (first, end) in enumerate(zip([0, *cuts], [*cuts, len(lines)], strict=True)):
        path = directory / f"{number}.log"
        path.write_text("".join(f"{at} {text}\n" for at, text in lines[first:end]))
        files.append(path)
    return FileStream("stream", tuple(files))
