"""`--by-module`: under xdist, a module is imported by the worker that runs it and by no other.

xdist has each worker collect everything before it runs anything, so that workers and the process
that hands out the work mean the same by a number. That imports, and in a fresh clone also compiles,
every module four times: a tenth of all that `make test` computes. Here what is collected, counted
and handed out is the modules, each as one item that needs no import; the tests of a module are
collected when it is run, and told of one by one as always.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option."""
    parser.addoption(
        "--by-module", action="store_true", help="import a module only where it is run (with -n)"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(
    module_path: Path, parent: pytest.Collector
) -> pytest.Collector | None:
    """Instead of the module what stands for it."""
    if parent.config.getoption("by_module") and hasattr(parent.config, "workerinput"):
        return _Unread.from_parent(parent, path=module_path)
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run all tests of a module."""
    if not isinstance(item, _Whole):
        return None
    item.run(nextitem)
    return True


def taken_out(items: list[pytest.Item]) -> list[pytest.Item]:
    """Take out what stands for modules: `-m` and `-k` ask of tests, and these are not read yet."""
    unread: list[pytest.Item] = [item for item in items if isinstance(item, _Whole)]
    items[:] = [item for item in items if not isinstance(item, _Whole)]
    return unread


class _Unread(pytest.File):
    """A module that nobody has imported."""

    def collect(self) -> Iterator[pytest.Item]:
        yield _Whole.from_parent(self, name="whole")


class _Whole(pytest.Item):
    """All tests of it."""

    def runtest(self) -> None:
        """Never called, see `pytest_runtest_protocol`."""
        raise AssertionError("a module is run test by test")

    def run(self, nextitem: pytest.Item | None) -> None:
        """One after the other; what outlives the module is kept for `nextitem`."""
        assert self.parent is not None
        session, place = self.session, self.session.items.index(self)
        module = pytest.Module.from_parent(self.parent.parent, path=self.path)
        items = list(session.genitems(module))
        self.config.hook.pytest_collection_modifyitems(
            session=session, config=self.config, items=items
        )
        if not items:  # the last test that was run has left what it shares with this module's
            session._setupstate.teardown_exact(nextitem)
            return
        gc.collect()  # what is there by now stays, see `conftest`
        gc.freeze()
        try:
            for item, following in zip(items, [*items, nextitem][1:], strict=True):
                session.items[place] = item  # xdist looks there for what a report is of
                item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        finally:
            session.items[place] = self
