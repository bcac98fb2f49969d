"""Containers of a real engine, for the tests that need some; skipped, with why, where none can run.

The engine is started by the product itself, in an environment of the tests' own: its images, its
containers and its settings are in a directory that is removed. Where DOCKER_HOST is set, the engine
that it names is used instead, with the images and containers it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from inservice.runtimes.base import Handle, LaunchSpec
from inservice.runtimes.oci.engine import Engine, EngineTrouble, EngineUnavailable
from inservice.runtimes.oci.runtime import OciRuntime
from inservice.workload.container import Container, Workload
from tests.contracts.runtime_stages import PATIENCE_SECONDS, Shelves, asset_of

IMAGE = "localhost/inservice-test:1"

ANSWER = r"""#!/bin/sh
while read -r line && [ "$line" != "$(printf '\r')" ]; do :; done
cat /opt/ml/model/answer
"""
"""What a server of one file answers, to each connection."""

SERVE = """#!/bin/sh
# $1 is "serve", as on AWS
exec sh /opt/ml/model/run "$@"
"""

SERVER = r"""#!/bin/sh
# One request of HTTP, from standard input to standard output.
cr=$(printf '\r')
read -r method path rest
length=0 type= attributes= host=$(hostname)
while read -r line; do
  line="${line%$cr}"
  [ -z "$line" ] && break
  value="${line#*: }"
  case "$line" in
    [Cc]ontent-[Ll]ength:*) length=$value ;;
    [Cc]ontent-[Tt]ype:*) type=$value ;;
    [Xx]-[Aa]mzn-[Ss]age[Mm]aker-[Cc]ustom-[Aa]ttributes:*) attributes=$value ;;
  esac
done
say() {
  printf 'HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %s\r\n' "$1" ${#2}
  printf 'connection: close\r\n\r\n%s' "$2"
}
case "$path" in
  /ping) say '200 OK' '' ;;
  /invocations)
    body=$(head -c "$length")
    (: > /opt/ml/model/x) 2>/dev/null && wrote=yes || wrote=no
    answer="{\"argument\": \"serve\", \"body\": \"$body\", \"type\": \"$type\", \"model\":"
    answer="$answer \"$(cat /opt/ml/model/name.txt)\", \"attributes\": \"$attributes\", \"mine\":"
    answer="$answer \"$MINE\", \"port\": \"$SAGEMAKER_BIND_TO_PORT\", \"host\": \"$host\","
    say '200 OK' "$answer \"pid\": 1, \"wrote\": \"$wrote\"}" ;;
  *) say '404 Not Found' '{}' ;;
esac
"""
"""What `nc -ll -e` runs for each connection: a model that tells what it is asked and has."""

HTTPD = """
mkdir -p /www && echo ok > /www/ping
httpd -f -p $SAGEMAKER_BIND_TO_PORT -h /www &
child=$!
trap 'kill $child; exit 0' TERM
wait
"""

BEHAVIOURS = {
    "good": HTTPD,
    "import fails": "echo \"No module named 'a_module_that_nobody_has'\" >&2\nexit 1\n",
    "exits": "echo out of luck\nexit 3\n",
    "hangs": "trap 'exit 0' TERM\necho thinking\nsleep 600 & wait\n",
    "garbage": "trap 'exit 0' TERM\nnc -ll -p 8080 -e /bin/answer & wait\n",
    "unavailable": "trap 'exit 0' TERM\nnc -ll -p 8080 -e /bin/answer & wait\n",
    "ignores SIGTERM": "trap '' TERM\nwhile true; do sleep 600; done\n",
}
"""What the container of a spec does: the shell script `run` in its model's directory."""

ANSWERS = {
    "garbage": b"\x16\x03\x01 this is not HTTP\r\n\r\n",
    "unavailable": b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
}


def environment(root: Path) -> Mapping[str, str]:
    """For an engine that keeps everything in one directory."""
    if "DOCKER_HOST" in os.environ:
        return os.environ
    conf, storage = root / "containers.conf", root / "storage.conf"
    runtime = 'runtime = "runc"\n' if shutil.which("runc") else ""
    conf.write_text(
        # A limit cannot be raised by whoever may not, as within another container.
        '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
        f'[engine]\n{runtime}cgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )
    storage.write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{root}/graph"\nrunroot = "{root}/engine"\n'
    )
    registries = root / "registries.conf"
    registries.write_text('[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n')
    return {
        **os.environ,
        "CONTAINERS_CONF": str(conf),
        "CONTAINERS_STORAGE_CONF": str(storage),
        "CONTAINERS_REGISTRIES_CONF": str(registries),
        "XDG_RUNTIME_DIR": str(root),
    }


@functools.cache
def busybox() -> str:
    """A static one. Skips the test where there is none."""
    found = shutil.which("busybox")
    if (
        found is None
        or b"not a dynamic"
        not in subprocess.run(["ldd", found], capture_output=True, check=False).stdout
        + subprocess.run(["ldd", found], capture_output=True, check=False).stderr
    ):
        pytest.skip("needs a static busybox to make an image of: apt-get install busybox-static")
    return found


def root_file_system(files: Mapping[str, str]) -> bytes:
    """A tar of a root file system: busybox, and these programs."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(busybox(), "bin/busybox")
        for name in (
            "sh",
            "httpd",
            "nc",
            "sleep",
            "cat",
            "echo",
            "mkdir",
            "kill",
            "wget",
            "env",
            "head",
            "hostname",
            "printf",
            "ip",
            "ls",
            "seq",
            "dd",
        ):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name, text in {"bin/answer": ANSWER, **files}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


async def load(engine: Engine, name: str, files: Mapping[str, str], *changes: str) -> str:
    """Make an image of a root file system; gives the engine's id of it."""
    archive = root_file_system(files)

    def imported(client: Any) -> str:
        said = client.import_image_from_data(archive, changes=list(changes))
        made = json.loads(said.strip().splitlines()[-1])
        image_id = str(made.get("id") or made["status"])
        repository, _, tag = name.rpartition(":")
        client.tag(image_id, repository, tag, force=True)
        return image_id

    return await engine.ask(imported)


class OciStage:
    """Real containers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run_dir, self.log_dir, self.state_dir = root / "run", root / "log", root / "state"
        self.environment = environment(root)
        self._numbers = itertools.count()
        self.again()

    def again(self) -> None:
        self.assets = Shelves()
        self.engine = Engine(self.run_dir, self.environment)
        self.runtime = OciRuntime(
            self.run_dir, self.state_dir, self.log_dir, engine=self.engine, assets=self.assets
        )

    def spec(
        self,
        behaviour: str = "good",
        *,
        script: str = "",
        image: str = IMAGE,
        isolated: bool = False,
        endpoint: str = "an-endpoint",
        **environment: str,
    ) -> LaunchSpec:
        number = next(self._numbers)
        model_dir = self.root / f"model {number}"
        (model_dir / "code").mkdir(parents=True)
        (model_dir / "run").write_text(script or BEHAVIOURS[behaviour])
        (model_dir / "answer").write_bytes(ANSWERS.get(behaviour, b""))
        return LaunchSpec(
            instance_id=f"fleet{number}-1-AllTraffic/{number}",
            account="000000000000",
            region="us-east-1",
            endpoint=endpoint,
            variant="AllTraffic",
            workload=Workload(
                (Container("primary", image, environment, asset_of(model_dir, "fleet")),),
                network_isolation=isolated,
            ),
            download_timeout_seconds=PATIENCE_SECONDS,
        )

    def kill(self, handle: Handle) -> None:
        os.kill(handle.pid, signal.SIGKILL)

    def ail(self, handle: Handle) -> None:
        leader = psutil.Process(handle.pid)
        for process in (leader, *leader.children(recursive=True)):
            process.suspend()

    async def pass_time(self) -> None:
        await asyncio.sleep(0.02)

    def end(self) -> None:
        """Leave nothing behind."""

        async def end() -> None:
            self.again()
            await self.runtime.shut_down(0.0)

        asyncio.run(end())


@contextmanager
def oci_stage() -> Iterator[OciStage]:
    """An engine with the image that the contract runs. Skips the test where there is none."""
    busybox()
    root = Path(tempfile.mkdtemp(prefix="is-"))
    stage = OciStage(root)

    async def try_one() -> None:
        entry = 'ENTRYPOINT ["/bin/entry"]'
        await load(stage.engine, IMAGE, {"bin/entry": SERVE}, entry)
        spec = stage.spec("exits")
        handle = await stage.runtime.launch(spec)
        await stage.runtime.retire(handle, 0)
        await stage.runtime.close()

    try:
        asyncio.run(try_one())
    except (EngineUnavailable, EngineTrouble) as error:
        stage.end()
        remove(root)
        pytest.skip(f"needs a container engine: {error}")
    stage.again()
    try:
        yield stage
    finally:
        stage.end()
        remove(root)


def remove(root: Path) -> None:
    """A directory in which an engine may have mounted something."""
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        place = line.split()[1].replace("\\040", " ")
        if place.startswith(f"{root}/"):
            with contextlib.suppress(OSError):
                subprocess.run(["umount", "-l", place], check=False)
    shutil.rmtree(root)
