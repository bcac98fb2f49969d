"""Model data in this server's own storage, for who has the right to it: whose right, and which.

A model's data is read as its execution role: what the role's policies and its boundary allow, and
the policy of the bucket. It is the same decision that S3's own requests are judged by, about a
session that SageMaker would begin. A model without a role, or with one that is not known here,
reads as root of its account would: the account's own buckets, and others whose policies let it.
Where only roles that are known are taken (`INSERVICE_EXECUTION_ROLES=existing`), it reads what
anybody may.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from inservice.artifacts.sources import Rights
from inservice.blobs.base import Blobs, Bucket, Reading, StoredObject
from inservice.clock import Clock
from inservice.identity.authority import Authority, in_session
from inservice.identity.principal import ANONYMOUS, Account, Session, role_session
from inservice.identity.request_context import request_context
from inservice.identity.sts.trusting import trusts_service
from inservice.operations.sagemaker.touches import SERVICE
from inservice.operations.sts.touches import own_role_at
from inservice.s3_errors import AccessDenied, NoSuchBucket, NoSuchKey
from inservice.store.base import Store
from inservice.store.held import held_by

SESSION_NAME: Final = "SageMaker"


class OwnObjects:
    """`artifacts.own.OwnObjects`, out of a store of objects and the records of who may what."""

    def __init__(
        self, blobs: Blobs, store: Store, clock: Clock, *, takes_unknown_roles: bool
    ) -> None:
        self._blobs = blobs
        self._store = store
        self._clock = clock
        self._takes_unknown_roles = takes_unknown_roles

    def owner(self, bucket: str) -> str | None:
        """See `artifacts.own.OwnObjects`."""
        try:
            return self._blobs.bucket(bucket).account
        except NoSuchBucket:
            return None

    def stored(self, rights: Rights, bucket: str, key: str) -> StoredObject:
        """See `artifacts.own.OwnObjects`."""
        judge = self._judge(rights)
        judge.check("GetObject", bucket, key)
        try:
            return self._blobs.stored(bucket, key)
        except NoSuchKey:
            judge.check("ListObjectsV2", bucket)  # else one is not told that it is not there
            raise

    def below(self, rights: Rights, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """See `artifacts.own.OwnObjects`."""
        judge, after = self._judge(rights), ""
        judge.check("ListObjectsV2", bucket, prefix=prefix)
        while True:
            page = self._blobs.page(bucket, prefix, after=after)
            for found in page.objects:
                judge.check("GetObject", bucket, found.key)
                yield found
            if not page.truncated:
                return
            after = page.last

    def read(self, rights: Rights, bucket: str, key: str) -> Reading:
        """See `artifacts.own.OwnObjects`."""
        self._judge(rights).check("GetObject", bucket, key)
        return self._blobs.read(bucket, key)

    def _judge(self, rights: Rights) -> _Judge:
        return _Judge(self._blobs, self._authority(rights), rights.region, self._clock.now())

    def _authority(self, rights: Rights) -> Authority:
        """What the role holds, in a session of SageMaker's. Raises AccessDenied for one that does
        not trust SageMaker (any more), and ServiceUnavailable where nobody can say."""
        now = self._clock.now()
        with self._store.reading() as records:
            named = rights.role
            role = named and own_role_at(records, rights.account, rights.region, named)
            if not role:
                known = self._takes_unknown_roles and bool(rights.account)
                return Authority(Account(rights.account).root if known else ANONYMOUS)
            context = {"aws:sourceaccount": rights.account, "aws:sourcearn": rights.model}
            if not trusts_service(role, SERVICE, context):
                raise AccessDenied(f"The role {role.arn} does not trust {SERVICE}.")
            held = held_by(records, role)
        assert held.principal is not None
        holds = Authority(held.principal, held.policies, held.boundary, tags=held.tags)
        principal = role_session(role.account, role.name, SESSION_NAME, role.path, role.id)
        return in_session(Session(principal, now, now + 1.0), holds, {})


class _Judge:
    """Decides about one reading, with the policy of its bucket as it is when it begins."""

    def __init__(self, blobs: Blobs, authority: Authority, region: str, now: float) -> None:
        # Imported here: the storage is a hundred modules, and a model may come from a file.
        from inservice.storage.deciding import Asker, Deciding

        self._asker = Asker(authority.principal, authority)
        self._deciding = Deciding(_Remembered(blobs))
        self._region = region
        request = {
            **request_context(
                account=authority.principal.account,
                region=region,
                now=now,
                source=None,
                agent=None,
                session=authority.principal.role_arn != "",
            ),
            "aws:securetransport": "true",  # nothing of it crosses a network
        }
        self._request = lambda: request

    def check(self, operation: str, bucket: str, key: str = "", prefix: str | None = None) -> None:
        """Raises AccessDenied."""
        from inservice.storage.touches import touches

        members = {"Bucket": bucket, "Key": key, "Prefix": prefix}
        for touch in touches(operation, members, self._region):
            self._deciding.check(self._asker, touch, self._request)


class _Remembered:
    """The buckets of a store, each looked at once."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._buckets: dict[str, Bucket] = {}

    def bucket(self, name: str) -> Bucket:
        """See `Buckets`."""
        if name not in self._buckets:
            self._buckets[name] = self._blobs.bucket(name)
        return self._buckets[name]

    def stored(self, bucket: str, key: str) -> StoredObject:
        """See `Objects`."""
        return self._blobs.stored(bucket, key)
