"""What is found about an environment, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"  # worth knowing; nothing fails by it alone
    PROBLEM = "problem"  # requests fail, or go to somebody else


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    about: str  # a word: what was looked at
    told: str  # what is so
    advice: str = ""  # what to do, if anything

    def plain(self) -> dict[str, str]:
        """As JSON has it."""
        told = {"Level": self.level.value, "About": self.about, "Told": self.told}
        return {**told, "Advice": self.advice} if self.advice else told


def ok(about: str, told: str) -> Finding:
    """It is as it should be."""
    return Finding(Level.OK, about, told)


def note(about: str, told: str, advice: str = "") -> Finding:
    """It may surprise somebody."""
    return Finding(Level.NOTE, about, told, advice)


def problem(about: str, told: str, advice: str) -> Finding:
    """It has to be mended."""
    return Finding(Level.PROBLEM, about, told, advice)
