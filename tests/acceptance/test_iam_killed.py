"""Random calls to IAM while control is killed over and over: nothing that was acknowledged is lost,
and nothing is half done."""

from __future__ import annotations

import copy
import json
import os
import random
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from inservice.config import load
from tests.acceptance.server import Server
from tests.core.operations.iam.conftest import document, trust
from tests.core.operations.iam.model import AWS, Model, Whole, told
from tests.waiting import wait_until

KILLS = 12
CALLS_BETWEEN = 150  # kills, at most
SEEDS = (1, 2)
NAMES = ("ana", "ANA", "bea", "cid")
AWAY = ("ServiceUnavailable", "InternalFailure", "503")
"""What is said for a control that is gone; whether the call was done nobody knows."""

Change = Callable[[Model], str | None]


class Sequence:
    """Calls of one client, one after the other, beside the model that says what comes of each."""

    def __init__(self, server: Server, chance: random.Random) -> None:
        self.iam = server.new_client("iam")
        self.chance = chance
        self.model = Model("000000000000")
        self.made = self.unanswered = 0

    def step(self) -> None:
        name, members, change = self._any_call()
        self.made += 1
        after = copy.deepcopy(self.model)
        expected = change(after)
        try:
            answer = getattr(self.iam, name)(**members)
        except ClientError as refused:
            code = refused.response["Error"]["Code"]
            if code in AWAY or refused.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                self._look(after)
            else:
                assert code == expected, (name, members)
        except BotoCoreError:
            self._look(after)
        else:
            assert expected is None, (name, members)
            self.model = after
            if name == "create_access_key":
                key = answer["AccessKey"]
                after.entities["User", members["UserName"].lower()].keys[key["AccessKeyId"]] = (
                    "Active"
                )

    def _look(self, after: Model) -> None:
        """A call had no answer: it was done or it was not, and nothing between."""
        self.unanswered += 1
        found: Whole = wait_until(self.seen)[0]
        for candidate in (self.model, after):
            if candidate.whole() == found:
                self.model = candidate
                return
        if self._adopt(found):
            return
        pytest.fail(f"{found}\nis neither {self.model.whole()}\nnor {after.whole()}")

    def _adopt(self, found: Whole) -> bool:
        """A key that nobody was told of: the user has one more."""
        for (kind, _), entity in self.model.entities.items():
            if kind == "User":
                for key, status in found[kind, entity.name]["keys"].items():
                    entity.keys.setdefault(key, status)
        return self.model.whole() == found

    def seen(self) -> tuple[Whole, ...]:
        """All there is; nothing while control does not answer."""
        try:
            details = self.iam.get_account_authorization_details(MaxItems=1000)
            return (told(details, self._keys_of),)
        except (ClientError, BotoCoreError):
            return ()

    def _keys_of(self, user: str) -> dict[str, str]:
        listed = self.iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
        return {each["AccessKeyId"]: each["Status"] for each in listed}

    def _any_call(self) -> tuple[str, dict[str, Any], Change]:
        kind = self.chance.choice(("user", "group", "role"))
        name, other = self.chance.choice(NAMES), self.chance.choice(NAMES)
        noun, named = kind.capitalize(), {f"{kind.capitalize()}Name": name}
        arn = self.chance.choice((self.model.arn(other), AWS))
        own, number = self.model.arn(other), self.chance.randint(1, 6)
        trusted = {"AssumeRolePolicyDocument": trust()} if kind == "role" else {}
        inline, text = {**named, "PolicyName": other}, {"PolicyDocument": document()}
        attached = {**named, "PolicyArn": arn}
        both = {"UserName": name, "GroupName": other}
        version = {"PolicyArn": own, "VersionId": f"v{number}"}
        calls: list[tuple[str, dict[str, Any], Change]] = [
            (f"create_{kind}", {**named, **trusted}, lambda m: m.create(noun, name)),
            (f"create_{kind}", {**named, **trusted}, lambda m: m.create(noun, name)),
            (f"delete_{kind}", named, lambda m: m.delete(noun, name)),
            (f"attach_{kind}_policy", attached, lambda m: m.attach(noun, name, arn)),
            (f"detach_{kind}_policy", attached, lambda m: m.detach(noun, name, arn)),
            (f"put_{kind}_policy", {**inline, **text}, lambda m: m.put(noun, name, other)),
            (f"delete_{kind}_policy", inline, lambda m: m.drop(noun, name, other)),
            ("add_user_to_group", both, lambda m: m.join(name, other, leave=False)),
            ("remove_user_from_group", both, lambda m: m.join(name, other, leave=True)),
            ("create_access_key", {"UserName": name}, lambda m: m.may_have_key(name)),
            ("create_policy", {"PolicyName": other, **text}, lambda m: m.create_policy(other)),
            ("delete_policy", {"PolicyArn": own}, lambda m: m.delete_policy(own)),
            (
                "create_policy_version",
                {"PolicyArn": own, **text, "SetAsDefault": True},
                lambda m: m.add_version(own, default=True),
            ),
            ("delete_policy_version", version, lambda m: m.delete_version(own, number)),
        ]
        if kind != "role":
            new = {f"New{noun}Name": other}
            calls.append(
                (f"update_{kind}", {**named, **new}, lambda m: m.rename(noun, name, other))
            )
        return self.chance.choice(calls)


def forget_default_role(iam: Any) -> None:
    """The model begins with nothing; no start of control makes it again."""
    named = {"RoleName": "AmazonSageMaker-ExecutionRole"}
    iam.detach_role_policy(**named, PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
    iam.delete_role_policy(**named, PolicyName="AmazonSageMaker-ExecutionPolicy")
    iam.delete_role(**named)


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_acknowledged_outlives_every_kill(tmp_path: Path, seed: int) -> None:
    server = Server.start(tmp_path / "data")
    forget_default_role(server.client("iam"))
    chance, over = random.Random(seed), threading.Event()
    calls = Sequence(server, random.Random(seed))

    run_dir = load(data_dir=server.data_dir).run_dir

    def control() -> int:
        children = json.loads((run_dir / "processes.json").read_bytes())["children"]
        return next((int(c["pid"]) for c in children if c["name"] == "control"), 0)

    def another_than(pid: int) -> bool:
        return over.is_set() or control() not in (0, pid)

    def kill_over_and_over() -> None:
        """Each time after some calls, at a moment that has nothing to do with them."""
        try:
            for _ in range(KILLS):
                pid, so_far = control(), calls.made
                enough = so_far + chance.randint(1, CALLS_BETWEEN)
                while calls.made < enough and not over.is_set():
                    over.wait(chance.uniform(0.0001, 0.01))
                os.kill(pid, signal.SIGKILL)
                wait_until(partial(another_than, pid))
        finally:
            over.set()

    killing = threading.Thread(target=kill_over_and_over)
    killing.start()
    try:
        while not over.is_set():
            calls.step()
        wait_until(lambda: calls.seen() == (calls.model.whole(),))
        assert calls.unanswered > 0
    finally:
        over.set()
        killing.join()
        server.stop()
