"""What a worker tells of those whom it refused: a few a second, and how many more."""

from __future__ import annotations

from typing import Any

from inservice.channel.denials import DenialRow
from inservice.channel.messages import Denials, said_in
from inservice.gateway.runtime.denials import KEPT_MAX, TOLD_MAX, Refused
from inservice.routing.table import KeyRoute

ANA = KeyRoute("AKIAANA", "the secret", "000000000000", "arn:aws:iam::000000000000:user/ana")


def refuse(refused: Refused, at: float = 1.0, **other: Any) -> None:
    told: dict[str, Any] = {
        "at": at,
        "request_id": b"r-1",
        "source": "192.0.2.7",
        "agent": b"Boto3/1.40",
    }
    where = ("us-east-1", "sagemaker:InvokeEndpoint", "endpoint/e")
    refused.note(ANA, *where, **{**told, **other})


def taken(refused: Refused, *, there: bool = True) -> list[DenialRow]:
    line = refused.take(there=there)
    if line is None:
        return []
    assert b"the secret" not in line
    (message,) = said_in(line)
    assert isinstance(message, Denials)
    return message.rows


def test_a_denial_is_told_once_with_who_and_what() -> None:
    refused = Refused()
    assert taken(refused) == []
    refuse(refused)
    (row,) = taken(refused)
    assert row == DenialRow(
        1.0,
        ANA.principal,
        "AKIAANA",
        "sagemaker:InvokeEndpoint",
        "arn:aws:sagemaker:us-east-1:000000000000:endpoint/e",
        "us-east-1",
        "r-1",
        "192.0.2.7",
        "Boto3/1.40",
    )
    assert taken(refused) == []


def test_of_many_in_a_second_some_are_told_and_all_are_counted() -> None:
    refused = Refused()
    for number in range(1_000):
        refuse(refused, float(number))
    assert [row.at for row in taken(refused)] == [float(number) for number in range(TOLD_MAX)]
    refuse(refused, 2_000.0)
    (row,) = taken(refused)
    assert (row.at, row.unwritten) == (2_000.0, 1_000 - TOLD_MAX)


def test_while_control_is_gone_some_are_kept_and_the_rest_is_counted() -> None:
    refused = Refused()
    for second in range(60):
        for _ in range(20):
            refuse(refused, float(second))
        assert taken(refused, there=False) == []
    told: list[DenialRow] = []
    while rows := taken(refused):
        assert len(rows) <= TOLD_MAX
        told += rows
    assert len(told) == KEPT_MAX
    refuse(refused)
    (row,) = taken(refused)
    assert sum(each.unwritten for each in [*told, row]) + KEPT_MAX == 60 * 20


def test_whatever_a_client_calls_itself_is_cut() -> None:
    refused = Refused()
    refuse(refused, agent=b"\xff\xc3" * 10_000, source=None)
    refuse(refused, agent=None)
    first, second = taken(refused)
    assert len(first.agent) <= 512
    assert (first.source, second.agent) == ("", "")
