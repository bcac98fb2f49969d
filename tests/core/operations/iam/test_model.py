"""Random sequences of calls to IAM, against a model of it that has no records."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from inservice.errors import AwsError
from inservice.operations import registry
from inservice.operations.live import Live
from inservice.store.base import Store
from inservice.store.drivers.database import open_store
from tests.core.operations.conftest import ACCOUNT, REGION, NothingRuns
from tests.core.operations.iam.conftest import document, trust
from tests.core.operations.iam.model import AWS, Model, told

NAMES = st.sampled_from(["ana", "ANA", "x+y=,.@-_"])
KINDS = st.sampled_from(["User", "Group", "Role"])
BOUNDED = st.sampled_from(["User", "Role"])
ARNS = NAMES.map(Model(ACCOUNT).arn) | st.just(AWS)
OWN_ARNS = NAMES.map(Model(ACCOUNT).arn)


def _opened(directory: Path) -> Store:
    return open_store(f"sqlite:///{directory / 'store.db'}", key_file=directory / "store.key")


@cache
def _empty() -> Path:
    """A store that nobody has used: making one takes longer than all the calls to it."""
    directory = Path(tempfile.mkdtemp(prefix="iam-model-"))
    atexit.register(shutil.rmtree, directory)
    _opened(directory).close()
    return directory


class IamMachine(RuleBasedStateMachine):
    """Each call is refused with the model's code or does what the model does; what is there
    afterwards is what the model has, also when the store is opened anew."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(ACCOUNT)
        self.directory = Path(tempfile.mkdtemp(prefix="iam-model-"))
        shutil.copytree(_empty(), self.directory, dirs_exist_ok=True)
        self.store = self._open()
        self.now = 1_000.0

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)

    def _open(self) -> Store:
        return _opened(self.directory)

    def call(self, name: str, **members: Any) -> Any:
        """What an operation answers, or the code with which it is refused."""
        operation = registry.find("iam", name)
        assert operation is not None
        self.now += 1
        root = f"arn:aws:iam::{ACCOUNT}:root"
        live = cast(Live, NothingRuns())
        call = registry.Call(ACCOUNT, REGION, root, "r", self.now, self.store, live)
        try:
            return operation.perform(call, members)
        except AwsError as refused:
            return refused.code

    def agree(self, expected: str | None, name: str, **members: Any) -> Any:
        answer = self.call(name, **members)
        assert (answer if isinstance(answer, str) else None) == expected, (name, members)
        return answer

    # ── entities ────────────────────────────────────────────────────────────────────────────────
    @rule(kind=KINDS, name=NAMES)
    def create(self, kind: str, name: str) -> None:
        more = {"AssumeRolePolicyDocument": trust()} if kind == "Role" else {}
        self.agree(self.model.create(kind, name), f"Create{kind}", **{f"{kind}Name": name}, **more)

    @rule(kind=KINDS, name=NAMES)
    def delete(self, kind: str, name: str) -> None:
        self.agree(self.model.delete(kind, name), f"Delete{kind}", **{f"{kind}Name": name})

    @rule(kind=st.sampled_from(["User", "Group"]), name=NAMES, new=NAMES)
    def rename(self, kind: str, name: str, new: str) -> None:
        members = {f"{kind}Name": name, f"New{kind}Name": new}
        self.agree(self.model.rename(kind, name, new), f"Update{kind}", **members)

    @rule(user=NAMES, group=NAMES, leave=st.booleans())
    def join(self, user: str, group: str, leave: bool) -> None:
        name = "RemoveUserFromGroup" if leave else "AddUserToGroup"
        expected = self.model.join(user, group, leave=leave)
        self.agree(expected, name, UserName=user, GroupName=group)

    # ── what hangs on them ──────────────────────────────────────────────────────────────────────
    @rule(kind=KINDS, name=NAMES, arn=ARNS, detach=st.booleans())
    def attach(self, kind: str, name: str, arn: str, detach: bool) -> None:
        verb = "Detach" if detach else "Attach"
        expected = (self.model.detach if detach else self.model.attach)(kind, name, arn)
        self.agree(expected, f"{verb}{kind}Policy", **{f"{kind}Name": name}, PolicyArn=arn)

    @rule(kind=KINDS, name=NAMES, policy=NAMES, drop=st.booleans())
    def put(self, kind: str, name: str, policy: str, drop: bool) -> None:
        members = {f"{kind}Name": name, "PolicyName": policy}
        if drop:
            self.agree(self.model.drop(kind, name, policy), f"Delete{kind}Policy", **members)
        else:
            members["PolicyDocument"] = document()
            self.agree(self.model.put(kind, name, policy), f"Put{kind}Policy", **members)

    @rule(kind=BOUNDED, name=NAMES, arn=ARNS | st.none())
    def bound(self, kind: str, name: str, arn: str | None) -> None:
        verb, more = ("Delete", {}) if arn is None else ("Put", {"PermissionsBoundary": arn})
        expected = self.model.bound(kind, name, arn)
        self.agree(expected, f"{verb}{kind}PermissionsBoundary", **{f"{kind}Name": name}, **more)

    @rule(kind=BOUNDED, name=NAMES, key=NAMES, value=st.sampled_from(["1", "2"]) | st.none())
    def tag(self, kind: str, name: str, key: str, value: str | None) -> None:
        expected = self.model.tag(kind, name, key, value)
        verb, more = (
            ("Untag", {"TagKeys": [key]})
            if value is None
            else ("Tag", {"Tags": [{"Key": key, "Value": value}]})
        )
        self.agree(expected, f"{verb}{kind}", **{f"{kind}Name": name}, **cast(Any, more))

    @rule(name=NAMES)
    def create_key(self, name: str) -> None:
        answer = self.agree(self.model.may_have_key(name), "CreateAccessKey", UserName=name)
        if not isinstance(answer, str):
            key = answer["AccessKey"]["AccessKeyId"]
            self.model.entities["User", name.lower()].keys[key] = "Active"

    @rule(name=NAMES, which=st.integers(0, 1), change=st.sampled_from(["Active", "Inactive", None]))
    def change_key(self, name: str, which: int, change: str | None) -> None:
        every = [key for (kind, _), e in self.model.entities.items() for key in e.keys]
        key = every[which] if which < len(every) else "AKIANOBODYSKEYATALL2"
        owner = self.model.entities.get(("User", name.lower()))
        expected = None if owner is not None and key in owner.keys else "NoSuchEntity"
        members = {"UserName": name, "AccessKeyId": key}
        if change is None:
            self.agree(expected, "DeleteAccessKey", **members)
        else:
            self.agree(expected, "UpdateAccessKey", **members, Status=change)
        if expected is None and owner is not None:
            owner.keys.pop(key) if change is None else owner.keys.update({key: change})

    # ── managed policies ────────────────────────────────────────────────────────────────────────
    @rule(name=NAMES)
    def create_policy(self, name: str) -> None:
        made = {"PolicyName": name, "PolicyDocument": document()}
        self.agree(self.model.create_policy(name), "CreatePolicy", **made)

    @rule(arn=OWN_ARNS)
    def delete_policy(self, arn: str) -> None:
        self.agree(self.model.delete_policy(arn), "DeletePolicy", PolicyArn=arn)

    @rule(arn=OWN_ARNS, default=st.booleans())
    def add_version(self, arn: str, default: bool) -> None:
        made = {"PolicyArn": arn, "PolicyDocument": document(), "SetAsDefault": default}
        self.agree(self.model.add_version(arn, default=default), "CreatePolicyVersion", **made)

    @rule(arn=OWN_ARNS, number=st.integers(1, 4))
    def delete_version(self, arn: str, number: int) -> None:
        which = {"PolicyArn": arn, "VersionId": f"v{number}"}
        self.agree(self.model.delete_version(arn, number), "DeletePolicyVersion", **which)

    # ── what is there ───────────────────────────────────────────────────────────────────────────
    @rule()
    def open_anew(self) -> None:
        self.store.close()
        self.store = self._open()

    @invariant()
    def all_is_as_the_model_has_it(self) -> None:
        details = self.call("GetAccountAuthorizationDetails", MaxItems=1000)
        assert told(details, self._keys_of) == self.model.whole()

    def _keys_of(self, name: str) -> dict[str, str]:
        listed = self.call("ListAccessKeys", UserName=name)["AccessKeyMetadata"]
        return {each["AccessKeyId"]: each["Status"] for each in listed}


IamMachine.TestCase.settings = settings(
    max_examples=3,
    stateful_step_count=200,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestRandomCalls = IamMachine.TestCase
