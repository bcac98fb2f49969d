"""What is read once for all contracts of a module; what others read, they read for themselves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from unittest import mock

import botocore.loaders
import botocore.session
import pytest


@pytest.fixture(scope="module", autouse=True)
def models_of_services() -> Iterator[None]:
    """Each session of botocore reads the model of S3 anew, which is a megabyte of JSON."""
    loader = cache(botocore.loaders.create_loader)
    with mock.patch.object(botocore.session, "create_loader", loader):
        yield
