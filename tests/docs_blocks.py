"""The code blocks of a Markdown page, and a page run as one shell session."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^( *)```(\w*) *$")
_NOT_RUN = re.compile(r"<!-- not run: .+ -->")
_AFTER = re.compile(r"^<!-- goes on after: ([\w./-]+)#([\w-]+) -->$", re.MULTILINE)
_HEADING = re.compile(r"^##+ +(.+)$")
_FILE = re.compile(r"# ([\w.-]+\.py)\n")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    page: Path
    line: int  # of its first line, from 1
    language: str
    text: str
    runs: bool  # a comment above it can say that it does not
    section: str = ""  # the anchor of the heading above it

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page, in order."""
    opened: tuple[int, str, str] | None = None
    lines: list[str] = []
    above = section = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, lines = (number + 1, fence[1], fence[2]), []
        elif opened is not None and line.strip() == "```":
            first, indent, language = opened
            text = "".join(one.removeprefix(indent) + "\n" for one in lines)
            runs = not _NOT_RUN.fullmatch(above.strip())
            yield Block(page, first, language, text, runs, section)
            opened, above = None, ""
        elif opened is not None:
            lines.append(line)
        elif line.strip():
            above = line
            if heading := _HEADING.match(line):
                section = re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-")
    assert opened is None, f"{page.name}: a block that begins in line {opened} has no end"


def as_script(page: Path) -> str:
    """The page as one bash script: Python blocks are written to the file that they begin with.

    A page can say that it goes on after a section of another one. Then that page is followed to the
    end of that section first, and what it has made is removed at the end.
    """
    parts = ["set -euo pipefail", *_shell_of(list(blocks(page)))]
    if before := _AFTER.search(page.read_text(encoding="utf-8")):
        other = list(blocks(page.parent / before[1]))
        last = max(n for n, block in enumerate(other) if block.section == before[2])
        parts[1:1] = _shell_of(other[: last + 1])
        parts.append("inservice down --purge --yes")
    return "\n".join(parts)


def _shell_of(followed: list[Block]) -> Iterator[str]:
    for block in followed:
        if not block.runs:
            continue
        if block.language == "python":
            name = _FILE.match(block.text)
            assert name, f"{block}: a Python block of a page that runs begins with `# name.py`"
            yield f"cat > {name[1]} <<'END_OF_BLOCK'\n{block.text}END_OF_BLOCK"
        elif block.language == "bash":
            yield block.text


def written_by(block: Block) -> str:
    """The file that a Python block begins with; empty if it does not."""
    name = _FILE.match(block.text)
    return name[1] if name else ""


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `inservice …` and `aws …` command in a shell block, without comments.

    Substitutions, loops and pipes are looked into only as far as a command begins a line, follows
    `$(`, `|`, `&&` or `do`, or stands behind variables that are set for it alone.
    """
    text = re.sub(r"\\\n\s*", " ", text)
    starts = r"(?:^|\$\(|\| ?|&& ?|; ?|\bdo )\s*(?:\$ )?(?:[A-Z_]+=\S* )*"
    for match in re.finditer(starts + r"((?:inservice|aws) [^\n]*)", text, re.MULTILINE):
        yield _words(match[1])


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|&;<>()"):
            break
        words.append(word)
    return words
