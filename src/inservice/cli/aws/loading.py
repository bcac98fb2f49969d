"""botocore's models of services, loaded fast: most of what a command line does is to load them."""

from __future__ import annotations

import gc
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from botocore.loaders import JSONFileLoader, Loader

_GZIP: Final = zlib.MAX_WBITS | 16
"""A header and a checksum around what zlib compressed."""


class _FastFiles(JSONFileLoader):
    """Reads the same files with msgspec: SageMaker's model takes 20 ms instead of 65."""

    def load_file(self, file_path: str) -> Any:
        for suffix in (".json", ".json.gz"):
            path = Path(file_path + suffix)
            if path.is_file():
                return _decoded(path)
        return None


@cache
def _decoded(path: Path) -> Any:
    """A file's JSON; kept, since the prompt makes a session for each key that is pressed."""
    text = path.read_bytes()
    if path.suffix == ".gz":
        text = zlib.decompress(text, wbits=_GZIP)
    # A model is a hundred thousand objects that live as long as the process: the collector would go
    # through them again and again while they are made, for half of the time that decoding takes.
    gc.disable()
    try:
        return msgspec.json.decode(text)
    finally:
        gc.freeze()
        gc.enable()


class FastLoader(Loader):
    """Knows which services there are. botocore looks into 400 directories to find out: 26 ms."""

    FILE_LOADER_CLASS = _FastFiles

    def __init__(self, paths: Sequence[str], aws: Sequence[str], own: Sequence[str]) -> None:
        """`paths` are looked into before botocore's own. `aws` and `own` are all services that
        there are; the latter have a model and nothing beside it."""
        super().__init__([*paths])
        self._aws = aws
        self._own = own
        self.only: str | None = None
        """The operation that the next client is for. A client makes a method for each operation of
        its model: 400 of them take 22 ms, and a command line calls one."""

    def load_service_model(
        self, service_name: str, type_name: str, api_version: str | None = None
    ) -> Any:
        model = super().load_service_model(service_name, type_name, api_version)
        operations = model.get("operations", {})
        if type_name == "service-2" and self.only in operations:
            return {**model, "operations": {self.only: operations[self.only]}}
        return model

    def list_available_services(self, type_name: str) -> list[str]:
        # A service of AWS's without, say, waiters is found out when they are loaded.
        return [*self._aws, *(self._own if type_name == "service-2" else ())]
