"""This server's own storage as control sees it: objects that others have open, IAM's records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from inservice.app.own_objects import OwnObjects
from inservice.artifacts.base import ChangedTree
from inservice.artifacts.errors import ArtifactForbidden
from inservice.artifacts.limits import Limits
from inservice.artifacts.sources import Rights
from inservice.artifacts.store import ArtifactStore
from inservice.blobs.base import Attributes, Bucket, PartGiven, PartOf
from inservice.blobs.disk.beside import BlobsBeside
from inservice.blobs.disk.store import DiskBlobs, open_blobs
from inservice.clock import SystemClock
from inservice.operations import iam as iam
from inservice.operations import registry
from inservice.operations.live import Live
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from tests.stores import lay_out, new_store

ACCOUNT, OTHER = "111122223333", "444455556666"
REGION = "us-east-1"
SAGEMAKER = {"Service": "sagemaker.amazonaws.com"}


def policy(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str, on: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": on, **more}


READS = policy(allow("s3:GetObject", "s3:ListBucket"))


def nobody_elsewhere() -> Any:
    raise ArtifactForbidden("There is no other storage.")


@dataclass
class OwnStorage:
    """Both sides of it. `close` ends them."""

    place: Path
    takes_unknown_roles: bool = True
    changed: list[ChangedTree] = field(default_factory=list)

    def __post_init__(self) -> None:
        lay_out(new_store("store.db", "store.key"), self.place)
        self.records: Store = open_store(
            f"sqlite:///{self.place / 'store.db'}", key_file=self.place / "store.key"
        )
        self.blobs: DiskBlobs = open_blobs(self.place / "storage")
        self._now = 1_000.0

    def close(self) -> None:
        self.blobs.close()
        self.records.close()

    def artifacts(self, elsewhere: Any = nobody_elsewhere) -> ArtifactStore:
        """Of control, beside the process that has the objects open."""
        own = OwnObjects(
            BlobsBeside(self.place / "storage"),
            self.records,
            SystemClock(),
            takes_unknown_roles=self.takes_unknown_roles,
        )
        return ArtifactStore(
            self.place / "artifacts",
            Limits(retry_pause_seconds=0.01),
            s3=elsewhere,
            own=own,
            on_changed=self.changed.append,
        )

    # ── objects ─────────────────────────────────────────────────────────────────────────────────
    def bucket(self, name: str, account: str = ACCOUNT, policy: str = "") -> None:
        self.blobs.create_bucket(Bucket(name, account, REGION, 1.0))
        self.blobs.set_bucket(name, "policy", policy.encode() or None)

    def put(self, bucket: str, key: str, data: bytes, etag: str = "e") -> None:
        incoming = self.blobs.incoming(bucket)
        incoming.write(data)
        self.blobs.keep(bucket, key, incoming, Attributes(etag))

    def put_in_parts(self, bucket: str, key: str, *parts: bytes) -> None:
        """Each but the last has to have 5 MiB, as on S3."""
        upload = self.blobs.begin_upload(bucket, key, Attributes(""), None, "COMPOSITE")
        for number, data in enumerate(parts, 1):
            incoming = self.blobs.incoming(bucket)
            incoming.write(data)
            self.blobs.keep_part(upload, PartOf(number, len(data), f"{number:032x}"), incoming)
        given = [PartGiven(number, f"{number:032x}") for number in range(1, len(parts) + 1)]
        self.blobs.complete(upload, given, None)

    # ── roles ───────────────────────────────────────────────────────────────────────────────────
    def perform(self, name: str, account: str = ACCOUNT, **members: Any) -> Mapping[str, Any]:
        self._now += 1
        operation = registry.find("iam", name)
        assert operation is not None
        call = registry.Call(
            account=account,
            region=REGION,
            principal=f"arn:aws:iam::{account}:root",
            request_id="0",
            now=self._now,
            store=self.records,
            live=cast(Live, None),
        )
        return operation.perform(call, members)

    def role(self, name: str, document: str = READS, account: str = ACCOUNT, **trust: Any) -> str:
        """The ARN of a role that SageMaker may assume, and which holds a policy."""
        statement = {
            "Effect": "Allow",
            "Principal": SAGEMAKER,
            "Action": "sts:AssumeRole",
            **trust,
        }
        made = self.perform(
            "CreateRole", account, RoleName=name, AssumeRolePolicyDocument=policy(statement)
        )
        if document:
            self.perform(
                *("PutRolePolicy", account),
                RoleName=name,
                PolicyName="p",
                PolicyDocument=document,
            )
        arn: str = made["Role"]["Arn"]
        return arn


def rights(role: str | None = None, account: str = ACCOUNT) -> Rights:
    model = f"arn:aws:sagemaker:{REGION}:{account}:model/m"
    return Rights(account, REGION, role, model)
