"""Processes, and whole servers, that are replaced on a full disk."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acceptance.full_disk.rig import (
    kill_control,
    models,
    refused,
)
from tests.acceptance.server import Server, run_cli
from tests.volumes import Volume
from tests.waiting import wait_until


@pytest.mark.long
def test_a_server_that_is_full_for_good_goes_down_and_comes_back_with_everything(
    volume: Volume, server: Server
) -> None:
    expected = models(server)
    volume.fill_for_good()
    kill_control(server)
    refused(server.client("sagemaker").list_models)
    server.stop()
    volume.fill()
    told = run_cli("up", "--detach", "--port=0", data_dir=server.data_dir)
    assert told.returncode == 1
    assert "No space left on device" in told.stderr
    volume.free()
    server.start_again()
    assert models(server) == expected
    wait_until(lambda: len(server.ready_pids()) == 1)
    wait_until(volume.is_reserved)


def test_workers_and_control_are_replaced_on_a_full_disk(
    volume: Volume, fill: Callable[[], None], server: Server
) -> None:
    expected, serving = models(server), server.ready_pids()
    fill()
    for word in ("reload", "restart"):
        done = run_cli(word, data_dir=server.data_dir)
        assert done.returncode == 0, done.stderr
        fill()  # what closing has made free
        assert server.invoke("ep")["model"] == "full"
        assert models(server) == expected
        refused(server.client("sagemaker").create_model, ModelName="more")
    assert server.ready_pids() == serving


def test_a_server_starts_on_a_full_disk(fill: Callable[[], None], server: Server) -> None:
    expected = models(server)
    fill()
    server.stop()
    fill()
    server.start_again()
    assert models(server) == expected
    refused(server.client("sagemaker").create_model, ModelName="more")
    server.client("sagemaker").delete_model(ModelName="spare-0")
    assert models(server) == expected - {"spare-0"}
