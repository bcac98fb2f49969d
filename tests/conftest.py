"""What holds for every test: how it may be interrupted, and which come first.

`make test` has more workers than there are cores, since most of the time is waiting: for processes
to start, for periods to pass. Each worker takes whole modules (a module's server is started once,
and see `by_module`), in the order given here: those that take longest first, so that none of them
is left for the end.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.by_module import (  # noqa: F401  # hooks
    pytest_addoption,
    pytest_pycollect_makemodule,
    pytest_runtest_protocol,
    taken_out,
)
from tests.depth import examples

FIRST = (
    "tests/acceptance/test_sessions.py",
    "tests/acceptance/test_web_identity.py",
    "tests/forgery/test_forgery.py",
    "tests/acceptance/test_iam.py",
    "tests/acceptance/test_aws_cli.py",
    "tests/storage/test_by_aws_cli.py",
    "tests/acceptance/full_disk/test_replaced.py",
    "tests/acceptance/test_survival.py",
    "tests/acceptance/test_demo.py",
    "tests/simulation/test_mutants_of_the_shell.py",
    "tests/simulation/test_histories.py",
    "tests/simulation/test_mutants_of_the_core.py",
    "tests/modelserver/test_what_code_raises.py",
    "tests/acceptance/full_disk/test_reserve.py",
    "tests/contracts/test_store_sqlite.py",
    "tests/controller/test_crash_walk.py",
    "tests/acceptance/test_heartbeats.py",
    "tests/acceptance/test_guardrails.py",
    "tests/acceptance/test_stops.py",
    "tests/acceptance/test_watching.py",
    "tests/acceptance/test_deployments_go_on.py",
    "tests/acceptance/test_deployment_commands.py",
    "tests/acceptance/test_cloudwatch_prometheus.py",
    "tests/acceptance/test_cloudwatch_rollback.py",
    "tests/contracts/test_environments.py",
    "tests/cli/test_recovery.py",
    "tests/acceptance/full_disk/test_full_disk.py",
    "tests/contracts/test_runtime_process.py",
    "tests/contracts/test_store.py",
    "tests/contracts/test_runtime_remains.py",
    "tests/contracts/test_patience.py",
    "tests/acceptance/test_receivers.py",
    "tests/acceptance/test_exec.py",
    "tests/acceptance/test_damaged_records.py",
    "tests/acceptance/test_refusals.py",
    "tests/modelserver/test_differential.py",
    "tests/cli/test_differential.py",
    "tests/acceptance/test_keys.py",
    "tests/acceptance/test_hosting.py",
    "tests/contracts/test_store_damage.py",
    "tests/acceptance/test_purge.py",
    "tests/core/operations/iam/test_model.py",
    "tests/acceptance/full_disk/test_logs.py",
    "tests/acceptance/test_cloudwatch_log_writing.py",
    "tests/wire/test_closed_account.py",
    "tests/controller/test_provider_keys.py",
    "tests/controller/test_posting.py",
    "tests/contracts/test_environments_killed.py",
    "tests/contracts/test_metrics_storage.py",
    "tests/acceptance/test_not_here.py",
    "tests/acceptance/test_people.py",
    "tests/acceptance/test_audit.py",
    "tests/acceptance/test_policies.py",
    "tests/acceptance/test_accounts.py",
    "tests/acceptance/test_doctor.py",
    "tests/channel/test_protocol.py",
    "tests/core/identity/test_agreement.py",
    "tests/contracts/test_runtime_pulses.py",
    "tests/acceptance/test_lease.py",
    "tests/storage/test_against_moto.py",
)
"""Modules that take ten seconds and more, the longest first; measured with `--durations`."""


# On a busy machine an example takes long, and so does making one up: neither is a fault.
settings.register_profile(
    "busy",
    deadline=None,
    max_examples=examples(100),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    """A shell's background job ignores Ctrl-C, and so would all that the tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """In the order of `FIRST`. Modules that nobody has read stay, whatever tests are asked for."""
    unread = taken_out(items)
    yield
    items += unread
    rank = {name: position for position, name in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))


def pytest_collection_finish() -> None:
    """What is there by now, thousands of tests and all modules, is there to the end: to have it
    walked again and again for what nobody refers to takes a tenth of the processor's time."""
    gc.collect()
    gc.freeze()
