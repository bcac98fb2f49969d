"""The reference page says what the command line does."""

from __future__ import annotations

import sys

import pytest

from tests.cli.reference import PAGE, page


@pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="argparse lays its help out anew in every Python"
)
def test_the_page_is_what_the_tables_say() -> None:
    """After a change: python -m tests.cli.reference"""
    assert PAGE.read_text(encoding="utf-8") == page()
