"""What plain values mean where their types do not say it, named once for all signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Instant = float
"""Seconds since the epoch."""

Document = Mapping[str, Any]
"""What is asked or answered, or a part of it: AWS's own members by their names, already validated
against AWS's model."""


def tags_told(tags: Mapping[str, str]) -> list[Document]:
    """Tags as AWS's APIs list them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
