"""Two thousand forged credentials, none of which passes. `make forgery` tries a hundred
thousand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.forgery.credentials import There, build
from tests.forgery.forged import FAULTS, Forger
from tests.forgery.trying import Trying, try_forgeries
from tests.issuers import issuer

COUNT = 2_000


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    directory = tmp_path_factory.mktemp("forgery")
    with issuer() as there_is:
        made = build(directory / "data", directory, there_is)
        yield made
        made.server.stop()


def test_none_passes_on_either_plane(there: There) -> None:
    tried = try_forgeries(there, COUNT, seed=1)
    assert tried.passed == []
    assert tried.right >= len(there.good)
    assert len(tried.faults) > len(FAULTS)


def test_what_was_taken_away_is_refused_after_control_was_killed(there: There) -> None:
    forger = Forger(there, 2)
    there.server.kill_control()
    with contextlib.closing(Trying(there)) as trying:
        for who in there.bad:
            for plane in ("runtime", "control", "query"):
                assert 400 <= trying.status(forger.right(who, plane)) < 500, (who.kind, plane)
        for who in there.good:
            assert trying.status(forger.right(who, "runtime")) == 200, who.kind
