"""Execution roles at a foreign STS: assumed there, so that a storage gives what the role may read.

A role is assumed when a request is first signed as it, so whatever stands in the way is an error of
that request, and is tried again as those are. Its credentials are renewed before they end.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from botocore.credentials import DeferredRefreshableCredentials, create_assume_role_refresher

KEPT_MAX: Final = 32
"""Roles whose clients are kept, the latest used. One of them is a megabyte."""

SESSION_NAME: Final = "SageMaker"
"""As the service calls its own sessions of execution roles."""

_Client = TypeVar("_Client")


class Roles(Generic[_Client]):
    """Clients that sign as roles. Safe to use from many threads."""

    def __init__(
        self, sts: Any, client_with: Callable[[DeferredRefreshableCredentials], _Client]
    ) -> None:
        self._sts = sts
        self._client_with = client_with
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._lock = threading.Lock()

    def client_as(self, role: str) -> _Client:
        """The client of a role, by its ARN. Nobody is asked yet."""
        with self._lock:
            client = self._clients.get(role)
            if client is None:
                client = self._clients[role] = self._client_with(self._credentials(role))
            self._clients.move_to_end(role)
            while len(self._clients) > KEPT_MAX:
                self._clients.popitem(last=False)
            return client

    def _credentials(self, role: str) -> DeferredRefreshableCredentials:
        parameters = {"RoleArn": role, "RoleSessionName": SESSION_NAME}
        return DeferredRefreshableCredentials(
            refresh_using=create_assume_role_refresher(self._sts, parameters), method="assume-role"
        )
