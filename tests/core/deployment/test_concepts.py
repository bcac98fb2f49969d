"""The generated parts of docs/concepts/deployments*.md are what the code says today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.core.deployment.pages import PARTS, PLANS

from inservice.cli.endpoint.strategies import STRATEGIES
from inservice.deployment.policy import TrafficRoutingType

CONCEPTS = Path(__file__).parents[3] / "docs" / "concepts"
PAGES = sorted(CONCEPTS.glob("deployments*.md"))

GENERATED = re.compile(r"(<!-- generated: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def current(text: str) -> str:
    """The page with its generated parts made anew."""
    return GENERATED.sub(lambda part: part[1] + "\n".join(PARTS[part[2]]()) + "\n" + part[3], text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_page_is_current(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text()
    if request.config.getoption("--rewrite-golden", default=False):
        path.write_text(current(text))
    else:
        assert current(text) == text


def test_every_strategy_has_a_page_with_its_table_and_its_timeline() -> None:
    for strategy in PLANS:
        text = (CONCEPTS / f"deployments-{strategy}.md").read_text()
        assert f"<!-- generated: table {strategy} -->" in text
        assert f"<!-- generated: timeline {strategy} -->" in text


def test_every_strategy_that_can_be_asked_for_is_shown() -> None:
    shifting = {kind.value.lower().replace("_", "-") for kind in TrafficRoutingType}
    assert set(PLANS) == shifting | {"rolling"} == set(STRATEGIES)


def test_the_state_diagram_is_drawn() -> None:
    assert "<!-- generated: states -->" in (CONCEPTS / "deployments.md").read_text()
