"""What is kept back for a full disk, and what is done when that is gone too."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from botocore.exceptions import ClientError

from tests.acceptance.full_disk.rig import answers, child, kill_control, model, models, refused
from tests.acceptance.server import Server, is_running, run_cli
from tests.volumes import Volume
from tests.waiting import wait_until


def test_with_the_reserve_gone_too_who_asks_is_told_so_at_once(
    volume: Volume, server: Server
) -> None:
    expected, serving = models(server), server.ready_pids()
    volume.fill_for_good()

    def answered() -> str:
        """How, by whichever control there is; nothing as long as there is none."""
        try:
            server.client("sagemaker").list_models()
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 503:
                raise
            return "told" if "Models go on serving" in error.response["Error"]["Message"] else ""
        return "served"

    supervisor = server.processes()["supervisor"]
    os.kill(supervisor, signal.SIGSTOP)  # the next one begins when there is no room at all
    try:
        kill_control(server)
        volume.fill()  # the files of a process that is gone
    finally:
        os.kill(supervisor, signal.SIGCONT)
    wait_until(lambda: answered() == "told")
    refused(server.client("cloudwatch").describe_alarms)
    refused(server.client("logs").describe_log_groups)
    assert server.invoke("ep")["model"] == "full"
    volume.free()
    wait_until(lambda: answers(server))
    assert models(server) == expected
    assert server.ready_pids() == serving
    wait_until(volume.is_reserved)
    server.client("sagemaker").delete_model(ModelName="spare-0")


def test_without_a_reserve_control_is_not_replaced_and_stays(
    volume: Volume, server: Server
) -> None:
    expected = models(server)
    control = child(server, "inservice.app.__main__").pid
    volume.fill_for_good()
    done = run_cli("restart", data_dir=server.data_dir)
    assert done.returncode == 1
    assert "control stays" in done.stderr
    assert str(server.data_dir) in done.stderr
    assert child(server, "inservice.app.__main__").pid == control
    assert models(server) == expected
    assert server.invoke("ep")["model"] == "full"
    done = run_cli("reload", data_dir=server.data_dir)  # of the gateways, and no more
    assert (done.returncode, "storage stays" in done.stderr) == (1, True)
    assert server.client("s3").list_buckets()["Buckets"] == []
    assert server.invoke("ep")["model"] == "full"


def test_a_log_that_goes_on_growing_takes_next_to_nothing_of_the_reserve(
    volume: Volume, server: Server, place: Path
) -> None:
    """What fills a disk seldom stops when it is full. Every delete is done all the same."""
    for number in range(6, 18):
        server.create_model(f"spare-{number}", model(place, "spare"))
    serving = server.ready_pids()
    with volume.kept_full(a_second=1 << 20):
        for number in range(18):
            if number % 6 == 5:
                kill_control(server)
            server.client("sagemaker").delete_model(ModelName=f"spare-{number}")
        assert models(server) == {"m"}
        server.client("sagemaker").delete_endpoint(EndpointName="ep")
        wait_until(lambda: not server.client("sagemaker").list_endpoints()["Endpoints"])
        wait_until(lambda: not any(map(is_running, serving)))
