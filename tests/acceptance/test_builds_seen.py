"""An endpoint whose environment has to be built: seen while it is, through a kill of control."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inservice.images.environments.server import IMPORTED
from tests.acceptance.server import Server, run_here, variant
from tests.contracts.wheelhouse import packed, sdist
from tests.waiting import wait_until

BUILDING = "building the environment of slow"


def test_a_build_is_shown_while_it_is_and_told_once_though_control_is_killed_in_it(
    tmp_path: Path, echo: Callable[[str], str]
) -> None:
    house = tmp_path / "wheels"
    house.mkdir()
    for name in IMPORTED:
        packed(house, name)
    sdist(house, "slow_numbers", at_build="time.sleep(5)")
    needs = tmp_path / "requirements.txt"
    needs.write_text("slow_numbers\n")
    server = Server.start(
        tmp_path / "data",
        "--workers=1",
        environment={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(house)},
    )
    try:
        added = run_here(
            "image", "add", "slow", f"--requirements={needs}", data_dir=server.data_dir
        )
        assert added.returncode == 0, added.stderr
        server.create_model("m", echo("m"), image="slow")
        server.create_config("m", variant("m"))
        server.client("sagemaker").create_endpoint(EndpointName="e", EndpointConfigName="m")
        seen = wait_until(lambda: _message(server))
        assert f"Instance 0: {BUILDING}: " in seen
        begin = [f"{line}" for line in server.history("e") if BUILDING in line]
        assert len(begin) == 1
        assert begin[0].endswith(f": {BUILDING}.")

        server.kill_control()
        assert server.settled("e")["EndpointStatus"] == "InService"
        assert server.invoke("e")["model"] == "m"
        told = [line for line in server.history("e") if BUILDING in line]
        assert told == [*begin, f"{begin[0][:-1]} is done."]
    finally:
        server.stop()


def _message(server: Server) -> str | None:
    """What the variant that is coming is said to be at, once it is the build."""
    described: dict[str, Any] = server.describe("e")
    assert described["EndpointStatus"] == "Creating", json.dumps(described, default=str)
    (coming,) = described["PendingDeploymentSummary"]["ProductionVariants"]
    messages = [status["StatusMessage"] for status in coming.get("VariantStatus", ())]
    return next((message for message in messages if BUILDING in message), None)
