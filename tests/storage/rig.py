"""Storage on real sockets, behind a gateway: the process's insides, over objects in memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from inservice.audit.reading import Reader
from inservice.audit.trail import Trail
from inservice.blobs.base import Usage
from inservice.clock import SystemClock
from inservice.gateway.carried import Places
from inservice.gateway.storage import PLACES, SignedForStorage, UnsignedForStorage
from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.policies.document import parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.principal import Principal
from inservice.routing.table import KeyRoute, RoutingTable
from inservice.storage.connection import LIMITS, Hands, StorageConnection
from inservice.storage.counting import Counting
from inservice.storage.service import Service
from inservice.storage.told import Told
from inservice.testing.blobs import MemoryBlobs
from inservice.transport.listening import Server

from ..gateway.rig import KEY, REGION, Rig, gateway

OTHER = "111111111111"
ROOT_OF_OTHER = KeyRoute("AKIAOTHER", "other", OTHER, f"arn:aws:iam::{OTHER}:root")
ANA = f"arn:aws:iam::{KEY.account}:user/ana"
KEY_OF_ANA = KeyRoute("AKIAANA", "hers", KEY.account, ANA)
EVE = f"arn:aws:iam::{OTHER}:user/eve"
KEY_OF_EVE = KeyRoute("AKIAEVE", "eves", OTHER, EVE)

Statement = Mapping[str, Any]


def allow(*actions: str, on: str | Sequence[str] = "*", **more: Any) -> Statement:
    return {"Effect": "Allow", "Action": list(actions), "Resource": on, **more}


def deny(*actions: str, on: str | Sequence[str] = "*", **more: Any) -> Statement:
    return {**allow(*actions, on=on, **more), "Effect": "Deny"}


def policy(*statements: Statement) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def held(arn: str, account: str, *statements: Statement) -> str:
    """What control tells that a user holds."""
    policies = []
    if statements:
        parsed = parse_policy(policy(*statements), PolicyKind.IDENTITY)
        policies = [AttachedPolicy(parsed, "own")]
    return json.dumps(Authority(Principal(account, arn, "AIDAX"), policies).to_plain())


@dataclass
class Storage:
    """A storage server and the gateway in front of it."""

    gateway: Rig
    server: Server
    told: Told
    blobs: MemoryBlobs
    counting: Counting
    directory: Path

    def boto(self, key: KeyRoute | None = KEY, **config: Any) -> Any:
        """A client; of nobody without a key."""
        config = {"retries": {"total_max_attempts": 1}, **config}
        if key is None:
            config["signature_version"] = UNSIGNED
        make: Any = boto3.client  # the stubs want each option by itself
        return make(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.gateway.port}",
            region_name=REGION,
            aws_access_key_id=key and key.id,
            aws_secret_access_key=key and key.secret,
            aws_session_token=key and key.session_token,
            config=Config(**config),
        )

    def tell(self, keys: Sequence[KeyRoute], authorities: Mapping[str, str]) -> None:
        """What control would tell."""
        version = self.told.table.version + 1
        self.told.serve(RoutingTable(version, {}, {key.id: key for key in keys}, authorities))

    def may(self, *statements: Statement, eve: Sequence[Statement] = ()) -> None:
        """Everybody has their key, and this is what ana holds, and what eve does."""
        held_by = {ANA: held(ANA, KEY.account, *statements), EVE: held(EVE, OTHER, *eve)}
        self.tell([KEY, ROOT_OF_OTHER, KEY_OF_ANA, KEY_OF_EVE], held_by)

    def audited(self) -> list[tuple[str, str]]:
        """Actions and outcomes in the audit trail."""
        return [(entry.action, entry.outcome) for entry in Reader(self.directory).new()]


@contextlib.asynccontextmanager
async def storage() -> AsyncIterator[Storage]:
    """One whose root may do everything, and nobody else anything."""
    async with gateway() as front:
        told = Told(front.directory / "routes.json")
        blobs = MemoryBlobs(SystemClock().wall)
        trail = Trail(front.directory / "audit" / "storage", kept=2)
        counting = Counting(0, lambda: Usage(0, 0, 0, 0))
        hands = Hands(Service(blobs, told, trail, counting, SystemClock(), region=REGION))
        server = Server(LIMITS)
        path = front.directory / "storage.sock"
        await server.listen(lambda: StorageConnection(server, hands), path=path)
        client = front.gateway.client
        pool, places = client.pool(f"unix:{path}"), Places(PLACES)
        ids = front.gateway.request_ids
        *first, last = front.planes
        front.planes = (
            SignedForStorage(pool, places, ids),
            *first,
            UnsignedForStorage(pool, places, ids),
            last,
        )
        rig = Storage(front, server, told, blobs, counting, front.directory / "audit")
        rig.may()
        try:
            yield rig
        finally:
            await server.drain(1.0, idle_seconds=0)
            trail.close()


async def called(function: Any, **arguments: Any) -> Any:
    """What a client's method gives, called beside the loop that serves it."""
    return await asyncio.to_thread(lambda: function(**arguments))
