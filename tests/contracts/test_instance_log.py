"""What is kept of an instance's output, and that everything else is counted."""

from __future__ import annotations

import itertools
import os
import re
import select
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inservice.instance_logs import writer
from inservice.instance_logs.lines import LINE_BYTES_MAX, MARK_BYTES_MAX, LineCutter
from inservice.instance_logs.writer import Collector
from inservice.runtimes.process.output import LossyOutput

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
        count = writer.KEPT_BURST_BYTES // READ_BYTES + 8
        return sum(self.say(block) for _ in range(count))

    def ended(self) -> list[bytes]:
        """The texts in the log, oldest first, when the model has ended."""
        os.close(self.fd)
        self.collector.finish()
        files = sorted(self.log.parent.iterdir(), reverse=True)
        lines = [line for file in files for line in file.read_bytes().splitlines()]
        return [line.split(b" ", 1)[1] for line in lines]


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """Its collector's clock stands still: what may be kept grows again by the second, and a test
    that gets no turn for a while is not to be given more."""
    stopped = SimpleNamespace(monotonic=lambda: 1_000.0, time=time.time)
    monkeypatch.setattr(writer, "time", stopped)
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


# ── lines of any length, in pieces of any size ────────────────────────────────────────────────────

ROOM = 20
"""What a cutter under test keeps of a line."""

CUT = re.compile(rb" \xe2\x80\xa6 \[inservice\] cut (\d+) bytes$")


def pieces_of(text: bytes, points: list[int]) -> list[bytes]:
    edges = [0, *sorted(point % (len(text) + 1) for point in points), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


def passed_on(pieces: list[bytes], kept: int = ROOM) -> bytes:
    cutter = LineCutter(kept)
    return b"".join(map(cutter.pass_on, pieces)) + cutter.end_line()


lines_of_text = st.lists(
    st.tuples(
        st.one_of(
            st.text("aé\u20ac\U0001f600 ", max_size=3 * ROOM).map(str.encode),
            st.binary(max_size=3 * ROOM).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b"")),
        ),
        st.sampled_from([b"\n", b"\r\n", b"\r"]),
    ),
    max_size=8,
)


@given(lines_of_text, st.booleans(), st.lists(st.integers(0, 10**6), max_size=8))
def test_every_line_comes_through_with_its_beginning(
    lines: list[tuple[bytes, bytes]], ended: bool, points: list[int]
) -> None:
    whole = b"".join(text + end for text, end in lines)
    if not ended:
        whole = whole.rstrip(b"\r\n")
    given_lines = re.split(rb"[\r\n]", whole)
    got = re.split(rb"[\r\n]", passed_on(pieces_of(whole, points)))
    assert len(got) == len(given_lines), "none is lost, and none is made"
    for before, after in zip(given_lines, got, strict=True):
        if len(before) <= ROOM:
            assert after == before
            continue
        mark = CUT.search(after)
        assert mark, (before, after)
        kept = after[: mark.start()]
        assert before.startswith(kept)
        assert len(kept) + int(mark[1]) == len(before)
        assert ROOM - 3 <= len(kept) <= ROOM


@given(lines_of_text, st.lists(st.integers(0, 10**6), max_size=8))
def test_what_was_cut_is_not_cut_again(lines: list[tuple[bytes, bytes]], points: list[int]) -> None:
    once = passed_on([b"".join(text + end for text, end in lines)])
    assert passed_on(pieces_of(once, points), ROOM + MARK_BYTES_MAX) == once


@given(st.text("aé\u20ac\U0001f600", min_size=ROOM, max_size=3 * ROOM))
def test_no_character_is_cut_in_two(text: str) -> None:
    shown = passed_on([text.encode()]).decode()
    kept = "".join(
        a for a, b in itertools.takewhile(lambda p: p[0] == p[1], zip(shown, text, strict=False))
    )
    assert len(kept.encode()) > ROOM - len("\U0001f600".encode())


@pytest.mark.parametrize("length", [1, 32_000, 32_768, 65_536, 262_144, 300_000, 5_000_000])
@pytest.mark.parametrize("through", ["print", "write"])
def test_a_long_line_takes_nothing_from_those_after_it(
    pipe: Pipe, length: int, through: str
) -> None:
    """Also when nobody reads until all is written; by a native library as well as by Python."""
    after = [b"line %d" % n for n in range(50)]
    if through == "print":
        output = LossyOutput(pipe.fd)
        output.write(b"x" * length + b"\n" + b"\n".join(after) + b"\n")
        pipe.collector.collect()
    else:
        for piece in pieces_of(b"x" * length + b"\n", list(range(0, length, READ_BYTES // 2))):
            pipe.say(piece)
        pipe.say(b"\n".join(after) + b"\n")
    first, *rest = pipe.ended()
    assert rest == after
    mark = CUT.search(first)
    assert len(first) <= LINE_BYTES_MAX + MARK_BYTES_MAX
    assert len(first) == length if mark is None else mark.start() + int(mark[1]) == length


def test_a_burst_larger_than_the_fifo_is_kept_whole_while_somebody_reads(pipe: Pipe) -> None:
    output = LossyOutput(pipe.fd)
    said = [b"%06d " % n + b"y" * 20_000 for n in range(100)]
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            if select.select([pipe.collector.fd], [], [], 0.01)[0]:
                pipe.collector.collect()

    reading = threading.Thread(target=read)
    reading.start()
    for line in said:
        output.write(line + b"\n")
    output.last_words()
    stop.set()
    reading.join()
    texts = pipe.ended()
    lost = [text for text in texts if text.startswith(b"[inservice] dropped")]
    assert texts == said or lost, "a reader that gets no turn for long is no reason to wait longer"
    assert accounted(texts) == pytest.approx(sum(len(line) + 1 for line in said), abs=100)


def test_of_a_progress_bar_the_last_state_is_kept_and_one_now_and_then(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tqdm writes hundreds of states over each other, and no newline until it is done."""
    now = [time.monotonic()]
    monkeypatch.setattr("inservice.instance_logs.writer.time.monotonic", lambda: now[0])
    pipe.say(b"loading weights\n")
    for percent in range(100):
        pipe.say(b"\r%3d%%|" % percent + b"#" * percent)
        now[0] += writer.PROGRESS_SECONDS / 50.5
    pipe.say(b"\r100%|done\nready\n")
    texts = pipe.ended()
    assert texts[0] == b"loading weights"
    assert texts[-2:] == [b"100%|done", b"ready"]
    assert [text[:4] for text in texts[1:-2]] == [b"  0%", b" 51%"]


def test_a_progress_bar_that_hangs_shows_where(pipe: Pipe) -> None:
    for percent in (b"10", b"20"):
        pipe.say(b"\r%s%%" % percent)
    assert writer.tail(pipe.log, 1) == ("10%",)
    assert pipe.ended() == [b"10%", b"20%"]


@pytest.mark.parametrize("split", range(4))
def test_lines_that_end_as_on_windows_have_no_carriage_return(pipe: Pipe, split: int) -> None:
    text = b"a\r\nb\r\n"
    pipe.say(text[:split] or b"-\n")
    pipe.say(text[split:])
    assert pipe.ended()[-2:] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"\x1b[1;31mred\x1b[0m and \x1b]0;title\x07plain", "red and plain"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\xff\xfe\x00\x01 junk", "\ufffd\ufffd\ufffd\ufffd junk"),
        ("caf\xe9 \u65e5\u672c".encode(), "caf\xe9 \u65e5\u672c"),
        (b"\x1b", "\ufffd"),
        (b"", ""),
    ],
)
def test_what_is_shown_of_a_line_is_harmless(pipe: Pipe, written: bytes, shown: str) -> None:
    pipe.say(written + b"\n")
    assert writer.tail(pipe.log, 1) == (shown,)
    assert pipe.ended() == [written], "and kept as it was written"


def test_the_last_line_needs_no_newline(pipe: Pipe) -> None:
    pipe.say(b"first\nlast words")
    assert pipe.ended() == [b"first", b"last words"]
