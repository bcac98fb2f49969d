"""What a decision costs, in CPU: for the kinds of caller that there are, and the worst policies.

python -m benchmarks.decide
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

from inservice.clock import SystemClock
from inservice.gateway.runtime.allowed import Allowed
from inservice.gateway.runtime.requests import read_target
from inservice.identity import managed
from inservice.identity.authority import AttachedPolicy, Authority
from inservice.identity.decide import Question, decide
from inservice.identity.policies.document import MANAGED_SIZE_MAX, Policy, parse_policy
from inservice.identity.policies.grammar import PolicyKind
from inservice.identity.principal import Account, user
from inservice.routing.table import KeyRoute, RoutingTable
from inservice.transport.messages import Request

A = "000000000001"
ENDPOINT = f"arn:aws:sagemaker:eu-west-1:{A}:endpoint/"
RESOURCES = 10_000
REQUESTS = 1_000_000


def filled(resources: Sequence[str], action: str = "sagemaker:*") -> AttachedPolicy:
    """One statement with as many of these as a managed policy has room for."""

    def policy(count: int) -> Policy:
        chosen = [resources[n % len(resources)] for n in range(count)]
        statement = {"Effect": "Allow", "Action": action, "Resource": chosen}
        document = {"Version": "2012-10-17", "Statement": statement}
        return parse_policy(document, PolicyKind.MANAGED)

    count = 1
    while policy(count + 1).size <= MANAGED_SIZE_MAX:
        count += 1
    return AttachedPolicy(policy(count), f"{count} patterns")


def shapes() -> dict[str, Authority]:
    """Callers by name."""
    ana = user(A, "ana")

    def with_managed(*names: str) -> Authority:
        policies = [each for each in managed.all() if each.name in names]
        return Authority(ana, [AttachedPolicy(each.policy, each.name) for each in policies])

    endpoint = "arn:aws:sagemaker:*:*:"
    return {
        "root": Authority(Account(A).root),
        "AdministratorAccess": with_managed("AdministratorAccess"),
        "AmazonSageMakerFullAccess": with_managed("AmazonSageMakerFullAccess"),
        "all that are shipped": with_managed(*(each.name for each in managed.all())),
        "full of names": Authority(ana, [filled([f"{ENDPOINT}bob-{n}" for n in range(99)])]),
        "full of prefixes": Authority(ana, [filled([f"{ENDPOINT}bob-{n}*" for n in range(99)])]),
        "full of *e*e*e*q*s": Authority(ana, [filled([f"{endpoint}*e*e*e*q*s"])]),
        "full of *?e*?n?p*q*s": Authority(ana, [filled([f"{endpoint}*?e*?n?p*q*s"])]),
        "full of ${aws:username}*q*s": Authority(
            ana, [filled([f"{endpoint}endpoint/${{aws:username}}-{n}*q*s" for n in range(99)])]
        ),
        "objects, full of *a?b*q*z": Authority(ana, [filled(["arn:aws:s3:::*a?b*q*z"], "s3:*")]),
        "objects, one *a?b*a?b…q*z": Authority(
            ana, [filled([f"arn:aws:s3:::{'*a?b' * 240}*q*z"], "s3:*")]
        ),
    }


def question_for(name: str, n: int) -> Question:
    """Endpoints, or objects with keys as long as they can be, which no pattern fits but at last."""
    if name.startswith("objects"):
        return Question("s3:GetObject", f"arn:aws:s3:::bucket/{n:08}{'aabb' * 253}-z")
    return Question("sagemaker:InvokeEndpoint", f"{ENDPOINT}ana-{n}-edges")


def main() -> None:
    """One table: microseconds of CPU for each decision, over resources that are all different."""
    print(f"{'caller':28} {'size':>6} {'µs':>8}   {RESOURCES} resources, one decision each")
    callers = shapes()
    for name, authority in callers.items():
        questions = [question_for(name, n) for n in range(RESOURCES)]
        decide(authority, questions[0])
        begun = time.process_time()
        for question in questions:
            decide(authority, question)
        spent = (time.process_time() - begun) / RESOURCES * 1e6
        size = sum(each.policy.size for each in authority.identity)
        print(f"{name:28} {size:6} {spent:8.1f}")

    for name in ("root", "AmazonSageMakerFullAccess"):
        print(f"{'a request of ' + name:28} {'':6} {of_a_request(callers[name]):8.2f}   kept")


def of_a_request(authority: Authority) -> float:
    """What the decision adds to one request that a gateway's worker serves, in microseconds: the
    whole of the call that `invoke` makes, with nothing having changed since the request before."""
    arn = authority.principal.arn
    key = KeyRoute("AKIAANA", "secret", A, arn)
    told = {} if authority.principal.is_root else {arn: json.dumps(authority.to_plain())}
    table, clock = RoutingTable(1, {}, {}, told), SystemClock()
    path = b"/endpoints/ana-0-edges/invocations"
    request, peer = Request("POST", path, 1, []), asyncio.BaseTransport()
    allowed, target = Allowed(), read_target(path)
    assert allowed.denial(table, key, "eu-west-1", target, request, peer, clock) is None
    begun = time.process_time()
    for _ in range(REQUESTS):
        allowed.denial(table, key, "eu-west-1", target, request, peer, clock)
    return (time.process_time() - begun) / REQUESTS * 1e6


if __name__ == "__main__":
    main()
