"""Whether somebody may do what an operation touches: their own policies and the bucket's, together.

It is the one decision of `identity.decide`, with what only S3 knows beside it:

- A bucket has an account, which no ARN of S3's tells. Whoever is of another one needs the bucket's
  policy and their own; who signed nothing needs the bucket's alone.
- Where public access is restricted, a policy that gives a bucket to everybody gives it to nobody
  but the bucket's own account.
- No policy of a bucket locks out its account's root from that policy itself.
- The tags of an object are looked up where a policy asks for them, and only there.

Why is told to those of the bucket's account. Anybody else hears that access is denied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from inservice.blobs.base import Bucket, StoredObject
from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.decide import Question, decide
from inservice.identity.holders import mentioned
from inservice.identity.policies.document import parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.policies.variables import ContextValue
from inservice.identity.principal import ANONYMOUS, Principal
from inservice.s3_errors import AccessDenied, NoSuchKey
from inservice.storage.operations.policy_rules import is_public
from inservice.storage.operations.settings import setting
from inservice.storage.touches import Touch

Context = Mapping[str, ContextValue]

_ROOTS_OWN: Final = frozenset(("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"))
_EXISTING: Final = "s3:existingobjecttag/"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks."""

    principal: Principal
    authority: Authority
    key_id: str = ""

    @property
    def account(self) -> str:
        """Whose principal it is; "" of nobody's."""
        return self.principal.account


NOBODY: Final = Asker(ANONYMOUS, Authority(ANONYMOUS))
"""Who signed nothing."""


class Looked(Protocol):
    """What is looked at: of `blobs.base.Blobs`, this much."""

    def bucket(self, name: str) -> Bucket:
        """See `Buckets`."""
        ...

    def stored(self, bucket: str, key: str) -> StoredObject:
        """See `Objects`."""
        ...


class Deciding:
    """Decides, with the buckets at hand. Blocks, as they do; safe for threads."""

    def __init__(self, blobs: Looked) -> None:
        self._blobs = blobs

    def check(self, asker: Asker, touch: Touch, request: Callable[[], Context]) -> None:
        """`request` gives the condition keys of the request as such, and is asked where there is a
        policy to read: a root in its own bucket without one needs none. Raises AccessDenied, and
        NoSuchBucket, which S3 tells anybody."""
        bucket = self._blobs.bucket(touch.bucket) if touch.bucket else None
        owner = asker.account if bucket is None else bucket.account
        own = bool(owner) and asker.account == owner
        policies = () if bucket is None else self._policies(bucket, asker, touch)
        if asker.principal.is_root and own and not policies:
            return
        context = {**request(), **touch.context}
        context["aws:resourceaccount"] = context["s3:resourceaccount"] = owner
        if touch.key:
            context |= self._tags(asker, touch, policies)
        question = Question(touch.action, touch.resource, context)
        decision = decide(asker.authority, question, policies)
        if not decision.allowed:
            told = _quoted(decision.message(asker.principal.arn), touch.resource)
            raise AccessDenied(told if own else "")

    def _policies(self, bucket: Bucket, asker: Asker, touch: Touch) -> Sequence[AttachedPolicy]:
        text = bucket.settings.get("policy")
        own = asker.account == bucket.account
        if text is None or (own and asker.principal.is_root and touch.action in _ROOTS_OWN):
            return ()
        if not own:
            blocked = setting(bucket, "publicAccessBlock", {"RestrictPublicBuckets": True})
            if blocked and blocked.get("RestrictPublicBuckets") and is_public(text.decode()):
                return ()
        return (_compiled(text, touch.resource.partition("/")[0]),)

    def _tags(
        self, asker: Asker, touch: Touch, policies: Sequence[AttachedPolicy]
    ) -> dict[str, ContextValue]:
        asked = {key.lower() for each in policies for key in each.policy.context_keys}
        if not any(key.startswith(_EXISTING) for key in asked | mentioned(asker.authority)):
            return {}
        try:
            tags = self._blobs.stored(touch.bucket, touch.key).attributes.tags
        except NoSuchKey:
            return {}
        return {f"{_EXISTING}{key.lower()}": value for key, value in tags.items()}


@lru_cache(maxsize=1024)
def _compiled(text: bytes, arn: str) -> AttachedPolicy:
    """Of a policy that was checked when it was put."""
    return AttachedPolicy(parse_policy(text.decode(), PolicyKind.RESOURCE), "policy", arn)


def _quoted(message: str, resource: str) -> str:
    """S3 has quotation marks around the ARN, where IAM has none."""
    return message.replace(f" on resource: {resource}", f' on resource: "{resource}"', 1)
