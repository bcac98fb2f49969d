"""Requests that nobody must be answered: one fault in each, in whatever a signature speaks of.

The signer is the tests' own, of RFC 2104 and AWS's page on Signature Version 4, so that it can be
made to sign what no client would.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random
from urllib.parse import quote, urlencode

from tests.forgery.credentials import ENDPOINT, Credentials, There

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Asked:
    """A request before it is signed."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    query: str = ""
    service: str = "sagemaker"
    region: str = "us-east-1"


@dataclass
class Signing:
    """Everything that goes into a signature, each of which can be another."""

    asked: Asked
    key_id: str
    secret: str
    token: str | None
    host: str
    at: float = field(default_factory=time.time)
    scope_date: str = ""
    scope_region: str = ""
    scope_service: str = ""
    signed_region: str = ""
    signed_service: str = ""
    algorithm: str = "AWS4-HMAC-SHA256"

    def headers(self) -> dict[str, str]:
        """The headers of the request, signed."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.at))
        date = self.scope_date or stamp[:8]
        region = self.scope_region or self.asked.region
        service = self.scope_service or self.asked.service
        named = {
            **{name.lower(): value for name, value in self.asked.headers.items()},
            "host": self.host,
            "x-amz-date": stamp,
            **({"x-amz-security-token": self.token} if self.token is not None else {}),
        }
        names = ";".join(sorted(named))
        scope = f"{date}/{region}/{service}/aws4_request"
        canonical = "\n".join(
            (
                self.asked.method,
                self.asked.path,
                self.asked.query,
                *(f"{name}:{named[name]}" for name in sorted(named)),
                "",
                names,
                hashlib.sha256(self.asked.body).hexdigest(),
            )
        )
        to_sign = "\n".join(
            (self.algorithm, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest())
        )
        key = _derived(
            self.secret, date, self.signed_region or region, self.signed_service or service
        )
        mark = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        named["authorization"] = (
            f"{self.algorithm} Credential={self.key_id}/{scope}, SignedHeaders={names}, "
            f"Signature={mark}"
        )
        return named


@lru_cache(maxsize=1_024)
def _derived(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


@dataclass(frozen=True)
class Sent:
    """A request as it goes out."""

    fault: str
    who: str
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


def control() -> Asked:
    """The control plane, in JSON."""
    headers = {"X-Amz-Target": "SageMaker.ListModels", "Content-Type": "application/x-amz-json-1.1"}
    return Asked("POST", "/", headers, b"{}")


def query() -> Asked:
    """The control plane, in a form."""
    body = urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"}).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    return Asked("POST", "/", headers, body, service="sts")


def runtime() -> Asked:
    """The data plane."""
    return Asked(
        "POST", f"/endpoints/{ENDPOINT}/invocations", {"Content-Type": "text/plain"}, b"hello"
    )


PLANES: Mapping[str, Callable[[], Asked]] = {"control": control, "query": query, "runtime": runtime}


class Forger:
    """Draws faults."""

    def __init__(self, there: There, seed: int) -> None:
        self._there = there
        self._chance = Random(seed)
        self._host = there.server.url.partition("://")[2]

    def right(self, who: Credentials, plane: str) -> Sent:
        """Nothing is wrong with it."""
        return self._sent("none", who, self._signing(who, PLANES[plane]()))

    def next(self) -> Sent:
        """A request with one fault."""
        chance, there = self._chance, self._there
        plane = chance.choice(list(PLANES))
        asked = PLANES[plane]()
        if chance.random() < 0.15:
            who = chance.choice(there.bad)
            return self._sent(who.kind, who, self._signing(who, asked))
        if plane == "runtime" and chance.random() < 0.05:
            who = chance.choice(there.foreign)
            return self._sent(who.kind, who, self._signing(who, asked))
        who = chance.choice([*there.good, *there.foreign])
        fault = chance.choice(FAULTS)
        return fault(self, who, asked)

    # ── faults ──────────────────────────────────────────────────────────────────────────────────
    def wrong_secret(self, who: Credentials, asked: Asked) -> Sent:
        secret = self._changed(who.secret, "abcdefghijklmnopqrstuvwxyz")
        return self._sent("secret", who, replace(self._signing(who, asked), secret=secret))

    def another_secret(self, who: Credentials, asked: Asked) -> Sent:
        other = self._another(who)
        signing = replace(self._signing(who, asked), secret=other.secret)
        return self._sent("secret of another", who, signing)

    def another_id(self, who: Credentials, asked: Asked) -> Sent:
        other = self._another(who)
        signing = replace(self._signing(who, asked), key_id=other.key_id)
        return self._sent("id of another", who, signing)

    def id_in_small_letters(self, who: Credentials, asked: Asked) -> Sent:
        signing = replace(self._signing(who, asked), key_id=who.key_id.lower())
        return self._sent("id in small letters", who, signing)

    def token(self, who: Credentials, asked: Asked) -> Sent:
        signing = self._signing(who, asked)
        if who.token is None:
            token: str | None = self._chance.choice(
                [each.token for each in self._there.good if each.token is not None]
            )
        else:
            others = [
                each.token for each in self._there.good if each.token not in (None, who.token)
            ]
            token = self._chance.choice(
                (
                    None,
                    "",
                    who.token[:-1],
                    who.token + "A",
                    self._changed(who.token, "ABCDEFGHIJKLMNOP"),
                    who.token.swapcase(),
                    self._chance.choice(others),
                )
            )
        return self._sent("token", who, replace(signing, token=token))

    def token_changed_after_signing(self, who: Credentials, asked: Asked) -> Sent:
        sent = self._sent("token after signing", who, self._signing(who, asked))
        others = [each.token for each in self._there.good if each.token not in (None, who.token)]
        other = self._chance.choice(others) or ""
        return replace(sent, headers={**sent.headers, "x-amz-security-token": other})

    def signature(self, who: Credentials, asked: Asked) -> Sent:
        sent = self._sent("signature", who, self._signing(who, asked))
        head, _, mark = sent.headers["authorization"].rpartition("=")
        wrong = self._chance.choice(
            (
                "0" * 64,
                "",
                mark[:-1],
                mark + "0",
                mark.upper() + "x",
                self._changed(mark, "0123456789"),
            )
        )
        return replace(sent, headers={**sent.headers, "authorization": f"{head}={wrong}"})

    def scope(self, who: Credentials, asked: Asked) -> Sent:
        """Signed for one scope, and saying another."""
        signing = self._signing(who, asked)
        which = self._chance.randrange(3)
        if which == 0:
            wrong = replace(signing, signed_region="eu-central-1")
        elif which == 1:
            wrong = replace(
                signing, signed_service=self._chance.choice(("s3", "iam", "execute-api"))
            )
        else:
            wrong = replace(signing, scope_date="20200101")
        return self._sent("scope", who, wrong)

    def service(self, who: Credentials, asked: Asked) -> Sent:
        """Signed, and rightly, for another service than is asked."""
        others = ("s3", "iam", "sts", "monitoring", "logs", "ec2", "sagemaker")
        other = self._chance.choice([each for each in others if each != asked.service])
        if asked.service == "sts" and other in ("iam", "monitoring"):
            other = "logs"  # a form is asked of whom it is signed for: there it is another question
        return self._sent("service", who, self._signing(who, replace(asked, service=other)))

    def moment(self, who: Credentials, asked: Asked) -> Sent:
        off = self._chance.choice((-1, 1)) * self._chance.choice((400, 4_000, 90_000, 40_000_000))
        signing = self._signing(who, asked)
        return self._sent("moment", who, replace(signing, at=signing.at + off))

    def host(self, who: Credentials, asked: Asked) -> Sent:
        sent = self._sent("host", who, self._signing(who, asked))
        return replace(sent, headers={**sent.headers, "host": "sagemaker.us-east-1.amazonaws.com"})

    def after_signing(self, who: Credentials, asked: Asked) -> Sent:
        """Something else is sent than was signed."""
        sent = self._sent("changed after signing", who, self._signing(who, asked))
        match self._chance.randrange(6):
            case 0:
                return replace(sent, body=sent.body + b" ")
            case 1:
                return replace(sent, headers={**sent.headers, "content-type": "text/html"})
            case 2:
                return replace(sent, headers={**sent.headers, "x-amz-extra": "1"})
            case 3:
                return replace(sent, target=sent.target + "?x=1")
            case 4:
                date = "20300101T000000Z"
                return replace(sent, headers={**sent.headers, "x-amz-date": date})
            case _:
                return replace(sent, method="PUT")

    def replayed_elsewhere(self, who: Credentials, asked: Asked) -> Sent:
        """The signature of one request on another."""
        other = PLANES[self._chance.choice(list(PLANES))]()
        if other.path == asked.path and other.body == asked.body:
            other = replace(other, body=b'{"MaxResults": 1}')
        signed = self._signing(who, other).headers()
        sent = self._sent("signature of another request", who, self._signing(who, asked))
        kept = {name: signed[name] for name in ("authorization", "x-amz-date")}
        return replace(sent, headers={**sent.headers, **kept})

    def algorithm(self, who: Credentials, asked: Asked) -> Sent:
        wrong = self._chance.choice(("AWS4-HMAC-SHA1", "AWS4-ECDSA-P256-SHA256", "Basic", "Bearer"))
        return self._sent("algorithm", who, replace(self._signing(who, asked), algorithm=wrong))

    def nothing(self, who: Credentials, asked: Asked) -> Sent:
        sent = self._sent("no signature", who, self._signing(who, asked))
        gone = self._chance.choice((("authorization",), ("authorization", "x-amz-date")))
        headers = {name: value for name, value in sent.headers.items() if name not in gone}
        return replace(sent, headers=headers)

    def less_signed(self, who: Credentials, asked: Asked) -> Sent:
        """A header that matters is not among those that are signed."""
        signing = self._signing(who, replace(asked, headers={}))
        sent = self._sent("header that is not signed", who, signing)
        return replace(sent, headers={**sent.headers, **_lower(asked.headers), "x-amz-extra": "1"})

    def presigned(self, who: Credentials, asked: Asked) -> Sent:
        """A URL that has ended, or speaks of something else."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - 120))
        scope = f"{stamp[:8]}/us-east-1/{asked.service}/aws4_request"
        ended = self._chance.random() < 0.5
        fields = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{who.key_id}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": "60" if ended else "600",
            "X-Amz-SignedHeaders": "host",
            **({"X-Amz-Security-Token": who.token} if who.token is not None else {}),
        }
        text = "&".join(
            f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(fields.items())
        )
        canonical = "\n".join(
            (asked.method, asked.path, text, f"host:{self._host}", "", "host", _digest(asked.body))
        )
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{_digest(canonical.encode())}"
        key = _derived(who.secret, stamp[:8], "us-east-1", asked.service)
        mark = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
        if not ended:
            text = text.replace("X-Amz-Expires=600", "X-Amz-Expires=6000")
        target = f"{asked.path}?{text}&X-Amz-Signature={mark}"
        headers = {"host": self._host}
        return Sent("presigned", who.kind, asked.method, target, headers, asked.body)

    # ── drawing ─────────────────────────────────────────────────────────────────────────────────
    def _signing(self, who: Credentials, asked: Asked) -> Signing:
        return Signing(asked, who.key_id, who.secret, who.token, self._host)

    def _sent(self, fault: str, who: Credentials, signing: Signing) -> Sent:
        asked = signing.asked
        target = asked.path + (f"?{asked.query}" if asked.query else "")
        return Sent(fault, who.kind, asked.method, target, signing.headers(), asked.body)

    def _another(self, who: Credentials) -> Credentials:
        every = [*self._there.good, *self._there.foreign, *self._there.bad]
        return self._chance.choice([each for each in every if each.secret != who.secret])

    def _changed(self, text: str, letters: str) -> str:
        at = self._chance.randrange(len(text))
        new = self._chance.choice([letter for letter in letters if letter != text[at]])
        return text[:at] + new + text[at + 1 :]


FAULTS: tuple[Callable[[Forger, Credentials, Asked], Sent], ...] = (
    Forger.wrong_secret,
    Forger.another_secret,
    Forger.another_id,
    Forger.id_in_small_letters,
    Forger.token,
    Forger.token_changed_after_signing,
    Forger.signature,
    Forger.scope,
    Forger.service,
    Forger.moment,
    Forger.host,
    Forger.after_signing,
    Forger.replayed_elsewhere,
    Forger.algorithm,
    Forger.nothing,
    Forger.less_signed,
    Forger.presigned,
)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()
