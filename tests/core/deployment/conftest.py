"""`--rewrite-golden` writes the transcripts anew; reading the diff is the work."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write transcripts anew")
