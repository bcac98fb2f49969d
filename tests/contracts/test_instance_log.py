"""What is kept of an instance's output, and that everything else is counted."""

from __future__ import annotations

import os
import re
import select
import threading
from pathlib import Path

import pytest

from inservice.runtimes import instance_log
from inservice.runtimes.instance import LossyOutput
from inservice.runtimes.instance_log import Collector

LOST = 5_000_000
CONFESSION = b"\n[inservice] dropped %d bytes of output\n" % LOST

READ_BYTES = 64 * 1024
"""What the collector reads at once: a write of as much is one read."""


class Pipe:
    """A FIFO with a collector at one end; `say` is a model's write at the other."""

    def __init__(self, directory: Path) -> None:
        fifo, self.log = directory / "fifo", directory / "log" / "i.log"
        os.mkfifo(fifo)
        self.collector = Collector(fifo, self.log)
        self.fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)

    def say(self, text: bytes) -> int:
        """Write, and let it be read at once: a read ends where this write did. Bytes said."""
        assert os.write(self.fd, text) == len(text) <= READ_BYTES
        self.collector.collect()
        return len(text)

    def flood(self) -> int:
        """Use up what may be kept at once. Bytes said."""
        block = (b"x" * 1023 + b"\n") * (READ_BYTES // 1024)
        count = instance_log.KEPT_BURST_BYTES // READ_BYTES + 8
        return sum(self.say(block) for _ in range(count))

    def ended(self) -> list[bytes]:
        """The texts in the log, oldest first, when the model has ended."""
        os.close(self.fd)
        self.collector.finish()
        files = sorted(self.log.parent.iterdir(), reverse=True)
        lines = [line for file in files for line in file.read_bytes().splitlines()]
        return [line.split(b" ", 1)[1] for line in lines]


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    return Pipe(tmp_path)


def accounted(texts: list[bytes]) -> int:
    """Bytes that were kept, and those that the log says are missing."""
    count = 0
    for text in texts:
        own = re.match(rb"\[inservice\] dropped (\d{1,12}) bytes of output", text)
        count += len(text) + 1 if own is None else int(own[1])
    return count


def ending_with(text: bytes) -> bytes:
    return text.rjust(READ_BYTES, b"x")


def beginning_with(text: bytes) -> bytes:
    return text.ljust(READ_BYTES - 1, b"x") + b"\n"


@pytest.mark.parametrize("cut", [0, 1, 2, 11, 20, 21, 24, len(CONFESSION) - 1, len(CONFESSION)])
def test_a_confession_that_is_dropped_too_counts_however_it_is_cut(pipe: Pipe, cut: int) -> None:
    said = pipe.flood()
    said += pipe.say(ending_with(CONFESSION[:cut]))
    said += pipe.say(beginning_with(CONFESSION[cut:]))
    texts = pipe.ended()
    assert any(text.endswith(b"too much at once") for text in texts)
    assert accounted(texts) == pytest.approx(said + LOST, abs=2 * len(CONFESSION))


@pytest.mark.parametrize(
    "line", [b"[inservice] drops a curtsy", b"[inservice] dropped " + b"9" * 99, b"[", b""]
)
def test_a_line_that_only_begins_like_a_confession_is_dropped_whole(
    pipe: Pipe, line: bytes
) -> None:
    said = pipe.flood()
    said += pipe.say(ending_with(b"\n" + line[:16]))
    said += pipe.say(beginning_with(line[16:]))
    said += pipe.say(ending_with(b"\n" + line))
    said += pipe.say(beginning_with(b"\n"))
    assert accounted(pipe.ended()) == pytest.approx(said, abs=2 * len(CONFESSION))


def test_a_process_that_lost_output_waits_for_room_to_say_so(pipe: Pipe) -> None:
    output = LossyOutput(pipe.fd)
    block = b"y" * 4095 + b"\n"
    said = 0
    while select.select([], [pipe.fd], [], 0)[1]:
        said += output.write(block)
    said += output.write(block)  # of which nothing fits
    speaking = threading.Thread(target=output.last_words)
    speaking.start()
    speaking.join(0.2)
    assert speaking.is_alive(), "nobody has read"
    while speaking.is_alive():
        pipe.collector.collect()
    texts = pipe.ended()
    assert any(text.startswith(b"[inservice] dropped 4096 bytes") for text in texts)
    assert accounted(texts) == pytest.approx(said, abs=1)
