"""Seeded damages to a data directory, and what may come of them.

Each damage is one that a disk, a copy or a person does: bits turn, blocks are lost, files are cut
short, taken away, exchanged, or put back as they once were. Afterwards the directory is opened as a
server opens it, and everything that can be asked is asked. Three ends are allowed:

    identical        the very same answers
    refused          the store does not open, says why, and has changed nothing
    set aside        other answers, of records that are named in what was set aside
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from inservice.cloudwatch.alarms.history import HistoryItem
from inservice.cloudwatch.metrics.aggregates import Aggregate
from inservice.cloudwatch.metrics.metric import Metric
from inservice.errors import AwsError
from inservice.hosting.arn import ResourceArn, ResourceKind
from inservice.operations.own.access_keys import ensure_root_key
from inservice.store.base import Reading, Store
from inservice.store.collections.alarms import AlarmQuery
from inservice.store.drivers.database import open_store
from inservice.store.errors import StoreRefused
from inservice.store.listing import EntityQuery, ListQuery
from inservice.telemetry import opening
from inservice.telemetry.base import AlarmKey, HistoryQuery, MetricsRefused, Sample
from inservice.telemetry.database import open_metrics
from inservice.telemetry.recorder import Recorder
from tests.contracts.store_records import (
    ACCOUNT,
    REGION,
    completed,
    creation,
    endpoint_config,
    group,
    model,
    policy,
    role,
    session,
    user,
)

DATABASE, METRICS, KEY, MARK = "inservice.db", "metrics.db", "secrets.key", "records.mark"
FILES = (DATABASE, METRICS, KEY, MARK)
NOW = 1_795_435_205.0
MODELS = 40

Answers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Specimen:
    """A data directory of a server, its state earlier, and what it answers."""

    now: Path
    earlier: Path
    answers: Answers


def grow(directory: Path, *, killed: bool) -> Specimen:
    """Make one. `killed`: the newest commits are in the log only, as after `kill -9`."""
    alive = directory / "alive"
    alive.mkdir()
    earlier, now = directory / "earlier", directory / "now"
    store, recorder = _open(alive)
    _fill(store, recorder, range(MODELS // 2))
    store.close()
    recorder.close()
    _copy(alive, earlier)
    store, recorder = _open(alive)
    _fill(store, recorder, range(MODELS // 2, MODELS))
    if killed:
        _copy(alive, now)
        store.close()
        recorder.close()
    else:
        store.close()
        recorder.close()
        _copy(alive, now)
    probe = directory / "probe"
    _copy(now, probe)
    answers = ask(probe)
    assert not isinstance(answers, str)
    shutil.rmtree(probe)
    return Specimen(now, earlier, answers[0])


def harm(specimen: Specimen, directory: Path, seed: int) -> str:
    """Damage a copy of the specimen. Gives what was done, in words."""
    _copy(specimen.now, directory)
    chance = random.Random(seed)
    kinds: list[Callable[[Path, random.Random], str]] = [
        *([_turn_bits] * 6),
        *([_lose_block] * 2),
        _cut_short,
        _take_away,
        _exchange,
        lambda d, c: _put_back(d, specimen.earlier, c),
    ]
    return chance.choice(kinds)(directory, chance)


def judge(specimen: Specimen, directory: Path) -> str:
    """identical, refused or set aside. Raises AssertionError for any other end."""
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    found = ask(directory)
    if isinstance(found, str):
        later = "set aside" in found or "metrics" in found  # when the database was open already
        for name in (KEY,) if later else (DATABASE, KEY):
            there = directory / name
            assert before.get(name) == (there.read_bytes() if there.exists() else None), name
        assert len(found) > 40, "a refusal says why and what to do"
        return "refused"
    answers, aside = found
    asked = specimen.answers.keys() | answers.keys()
    other = [each for each in asked if answers.get(each) != specimen.answers.get(each)]
    if "endpoints" in aside:
        aside |= {"deployment_events"}  # one more, which says so
    unnamed = [each for each in other if each.split(" ")[0] not in aside]
    assert not unnamed, f"other answers that nobody named: {unnamed[:3]}; named: {aside}"
    return "set aside" if other else "identical"


def ask(directory: Path) -> tuple[Answers, frozenset[str]] | str:
    """Open a data directory as a server does and ask everything; the words of a refusal instead.

    With the answers, by question, come the names of the tables of which something was set aside.
    """
    store = recorder = None
    try:
        store, recorder = _open(directory)
        answers = _answers(store, recorder)
        with store.reading() as records:
            aside = {each.table for each in records.set_aside.all()}
        if opening.were_set_aside(directory / METRICS) or opening.is_suspect(directory / METRICS):
            aside.add("metrics")
        return answers, frozenset(aside)
    except (StoreRefused, MetricsRefused) as refused:
        return str(refused)
    finally:
        if recorder is not None:
            recorder.close()
        if store is not None:
            store.close()


# ── what a disk does ────────────────────────────────────────────────────────────────────────────
def _some_file(directory: Path, chance: random.Random) -> Path:
    there = sorted(p for p in directory.iterdir() if p.stat().st_size)
    weights = [8 if p.name.startswith(DATABASE) else 2 if METRICS in p.name else 1 for p in there]
    return chance.choices(there, weights)[0]


def _turn_bits(directory: Path, chance: random.Random) -> str:
    path = _some_file(directory, chance)
    content = bytearray(path.read_bytes())
    count = chance.choice((1, 1, 1, 4, 64))
    for _ in range(count):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return f"{count} bits of {path.name}"


def _lose_block(directory: Path, chance: random.Random) -> str:
    path = _some_file(directory, chance)
    content = bytearray(path.read_bytes())
    size = chance.choice((64, 512, 4096))
    at = chance.randrange(0, len(content), size)
    end = min(at + size, len(content))
    filling = chance.choice((b"\0" * size, b"\xff" * size, chance.randbytes(size)))
    content[at:end] = filling[: end - at]
    path.write_bytes(content)
    return f"{size} bytes of {path.name} at {at}"


def _cut_short(directory: Path, chance: random.Random) -> str:
    path = _some_file(directory, chance)
    size = chance.randrange(path.stat().st_size)
    with path.open("r+b") as file:
        file.truncate(size)
    return f"{path.name} cut to {size}"


def _take_away(directory: Path, chance: random.Random) -> str:
    path = _some_file(directory, chance)
    path.unlink()
    return f"{path.name} removed"


def _exchange(directory: Path, chance: random.Random) -> str:
    one, other = chance.sample(sorted(directory.iterdir()), 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    return f"{one.name} and {other.name} exchanged"


def _put_back(directory: Path, earlier: Path, chance: random.Random) -> str:
    path = chance.choice(sorted(earlier.iterdir()))
    shutil.copy(path, directory / path.name)
    return f"{path.name} as it was earlier"


# ── a server's records, and what it answers ─────────────────────────────────────────────────────
def _open(directory: Path) -> tuple[Store, Recorder]:
    url = f"sqlite:///{directory / DATABASE}"
    store = open_store(url, key_file=directory / KEY)
    try:
        ensure_root_key(store, ACCOUNT)
        return store, Recorder(open_metrics(url), NOW)
    except BaseException:
        store.close()
        raise


def _fill(store: Store, recorder: Recorder, numbers: range) -> None:
    for number in numbers:
        with store.transaction() as tx:
            tx.models.add(model(f"m{number}", text="x" * 300))
            arn = ResourceArn(ResourceKind.MODEL, ACCOUNT, REGION, f"m{number}")
            tx.tags.set(arn, {"number": str(number)})
            tx.users.save(user(f"u{number}"))
            if number % 8 == 0:
                tx.groups.save(group(f"g{number}"))
                tx.roles.save(role(f"r{number}"))
                tx.policies.save(policy(f"p{number}"))
                tx.sessions.add(session(f"ASIA{number}", role(f"r{number}")))
                tx.endpoint_configs.add(endpoint_config(f"c{number}"))
                made = creation(f"E{number}", generation=f"g{number}")
                tx.endpoints.add(made)
                tx.endpoints.save(tx.endpoints.get(ACCOUNT, REGION, f"E{number}"), completed(made))
                document = {"AlarmName": f"a{number}"}
                tx.alarms.save(ACCOUNT, REGION, f"a{number}", state="OK", document=document)
        metric = Metric(ACCOUNT, REGION, "N", f"M{number % 5}", ())
        recorder.put([Sample(metric, "None", NOW - number, Aggregate.zero())], NOW)
        item = HistoryItem(NOW, "StateUpdate", f"number {number}", "{}")
        recorder.history.add(AlarmKey(ACCOUNT, REGION, "a0"), "MetricAlarm", item)
    recorder.fold()


def _answers(store: Store, recorder: Recorder) -> dict[str, str]:
    found: dict[str, str] = {}

    def tell(question: str, answer: Callable[[], object]) -> None:
        try:
            found[question] = repr(answer())
        except AwsError as refusal:
            found[question] = str(refusal)

    with store.reading() as records:
        for table in ("models", "endpoint_configs", "endpoints"):
            for line in getattr(records, table).page(ListQuery(ACCOUNT, REGION, limit=100)).lines:
                found[f"{table} line {line.name}"] = repr(line)
        for number in range(MODELS):
            name = f"m{number}"
            arn = ResourceArn(ResourceKind.MODEL, ACCOUNT, REGION, name)
            tell(f"models {name}", lambda: records.models.get(ACCOUNT, REGION, name))  # noqa: B023
            tell(f"tags {name}", lambda: dict(records.tags.of(arn)))  # noqa: B023
        for number in range(0, MODELS, 8):
            _tell_endpoint(tell, records, number)
        tell("alarms", lambda: dict(records.alarms.select(AlarmQuery(ACCOUNT, REGION))))
        tell("access_keys", records.access_keys.all)
        tell("sts_sessions", records.sessions.all)
        entities = EntityQuery(ACCOUNT)
        tell("iam_users", lambda: records.users.select(entities))
        tell("iam_groups", lambda: records.groups.select(entities))
        tell("iam_roles", lambda: records.roles.select(entities))
        tell("iam_policies", lambda: records.policies.select(entities))
    for number in range(5):
        metric = Metric(ACCOUNT, REGION, "N", f"M{number}", ())
        start, end = int(NOW) - 3_600, int(NOW) + 3_600
        tell(f"metrics {number}", lambda: _rows(recorder.read(metric, None, start, end, 60)))  # noqa: B023
    query = HistoryQuery(ACCOUNT, REGION, limit=100)
    tell("metrics history", lambda: recorder.history.page(query))
    return found


def _rows(read: Mapping[int, Aggregate]) -> dict[int, object]:
    return {at: aggregate.row() for at, aggregate in read.items()}


def _tell_endpoint(
    tell: Callable[[str, Callable[[], object]], None], records: Reading, number: int
) -> None:
    key = (ACCOUNT, REGION, f"E{number}")

    def record() -> object:
        found = records.endpoints.get(*key)
        return found.endpoint, found.deployment, found.version

    tell(f"endpoints E{number}", record)
    tell(f"deployment_events E{number}", lambda: records.endpoints.events(key))
    name = f"c{number}"
    tell(f"endpoint_configs {name}", lambda: records.endpoint_configs.get(ACCOUNT, REGION, name))


def _copy(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        if not path.name.endswith((".lock", "-shm")):
            shutil.copy(path, target / path.name)
