"""What the OCI runtime says, and what it asks for: without an engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inservice.contract import SUBMIT_DIRECTORY
from inservice.hosting.resources import Resources
from inservice.images.base import EnvironmentImage, NotRunnable, OciImage, Resolved
from inservice.runtimes import logins
from inservice.runtimes.base import (
    EngineMissing,
    Handle,
    ImageNotRunnable,
    LaunchSpec,
)
from inservice.runtimes.launching import Files
from inservice.runtimes.logins import Login, Logins, LoginsUnreadable, registry_of
from inservice.runtimes.oci import configuration, containers, pulling, reasons, records
from inservice.runtimes.oci.configuration import Allowance
from inservice.runtimes.oci.engine import DOCKER, PODMAN, Found
from inservice.runtimes.oci.pulling import Progress, not_pulled, split
from inservice.runtimes.oci.records import Places, Record
from inservice.runtimes.process.records import Places as ProcessPlaces
from inservice.runtimes.select import AUTO, OCI, PROCESS, SelectedRuntime
from inservice.workload.container import Container, Workload

ECR = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
FOUND = Found(PODMAN, "5.0", "1.41", Path("/run/podman/podman.sock"))

RECORD = Record(
    instance_id="f-1-v/0",
    cookie="c" * 16,
    name="inservice-f-1-v-0",
    log_path="/logs/x",
    image="mine:3",
    image_id="sha256:ab",
    port=8080,
    isolated=False,
    began_at=1.0,
)


def spec_of(container: Container, **more: Any) -> LaunchSpec:
    workload = Workload((container,))
    return LaunchSpec("f-1-v/0", "1", "us-east-1", "e", "v", workload, 60.0, **more)


# ── what a container is created with ─────────────────────────────────────────────────────────────


def created(engine: Found = FOUND, record: Record = RECORD, **of_container: Any) -> dict[str, Any]:
    container = Container("primary", "mine:3", {}, **of_container)
    return configuration.created_with(
        record,
        container,
        {"A": "1"},
        server_id="s" * 16,
        engine=engine,
        files=Files(model=Path("/shelf/a:b c")),
        output=Path("/run/H.out"),
        allowance=Allowance(),
    )


def test_the_contract_is_serve_a_model_that_is_read_only_and_a_port_of_the_loopback() -> None:
    body = created()
    assert body["Cmd"] == ["serve"]
    assert "Entrypoint" not in body, "that of the image stays"
    (mount,) = body["HostConfig"]["Mounts"]
    assert (mount["Source"], mount["Target"]) == ("/shelf/a:b c", "/opt/ml/model")
    assert mount["ReadOnly"] is True
    (published,) = body["HostConfig"]["PortBindings"]["8080/tcp"]
    assert published == {"HostIp": "127.0.0.1", "HostPort": "0"}
    assert body["HostConfig"]["RestartPolicy"] == {"Name": "no"}
    assert body["Labels"][records.INSTANCE] == "f-1-v/0"


def test_an_isolated_one_publishes_nothing_and_has_no_network() -> None:
    body = created(record=replace(RECORD, isolated=True))
    assert body["HostConfig"]["NetworkMode"] == "none"
    assert "PortBindings" not in body["HostConfig"]


def test_what_an_engine_keeps_of_the_output_is_bounded_whichever_it_is() -> None:
    for engine in (FOUND, replace(FOUND, name=DOCKER)):
        assert created(engine)["HostConfig"]["LogConfig"]["Config"]["max-size"]


def test_on_a_host_with_selinux_shared_files_can_be_read() -> None:
    assert "SecurityOpt" not in created()["HostConfig"]
    body = created(replace(FOUND, has_selinux=True))
    assert body["HostConfig"]["SecurityOpt"] == ["label=disable"]


def test_limits_and_devices_are_those_of_the_type_where_that_is_enforced() -> None:
    container = Container("primary", "mine:3", {})
    spec = spec_of(container, accelerators=("GPU-1",))
    resources = Resources("ml.g5.xlarge", vcpus=4, memory_bytes=16 * 2**30)
    spec = replace(spec, workload=replace(spec.workload, resources=resources))
    assert configuration.allowance(spec) == Allowance(gpus=("GPU-1",))
    enforced = configuration.allowance(replace(spec, is_limited=True))
    podman = enforced.host_config(FOUND)
    assert podman["Memory"] == podman["MemorySwap"] == 16 * 2**30
    assert podman["NanoCpus"] == 4_000_000_000
    assert podman["DeviceRequests"][0]["DeviceIDs"] == ["nvidia.com/gpu=GPU-1"]
    docker = enforced.host_config(replace(FOUND, name=DOCKER))
    assert docker["DeviceRequests"][0]["DeviceIDs"] == ["GPU-1"]
    assert Allowance().host_config(FOUND) == {}
    assert configuration.why_no_gpus(FOUND) == ""
    old = replace(FOUND, version="4.9.4")
    assert "Podman 4.9.4 gives none" in configuration.why_no_gpus(old)
    assert configuration.why_no_gpus(replace(old, name=DOCKER)) == ""


def test_the_environment_is_the_users_over_ours() -> None:
    own = {"AWS_REGION": "mars", "SAGEMAKER_BIND_TO_PORT": "9000", "X": "y=z"}
    container = Container("primary", "mine:3", own)
    told = configuration.environment(container, Files(), "us-east-1", {"TOKEN": "t"})
    assert told["AWS_REGION"] == "mars"
    assert told["AWS_DEFAULT_REGION"] == "us-east-1"
    assert told["TOKEN"] == "t"
    assert told["SM_MODEL_DIR"] == "/opt/ml/model"
    assert configuration.port_of(container) == 9000
    code = configuration.environment(container, Files(code=Path("/c")), "r", {})
    assert code[SUBMIT_DIRECTORY] == configuration.CODE_DIR


@pytest.mark.parametrize("port", ["", "0", "65536", "x", "-1", "８０"])
def test_a_port_that_is_none_is_the_usual_one(port: str) -> None:
    container = Container("primary", "mine:3", {configuration.BIND_TO_PORT: port})
    assert configuration.port_of(container) == 8080


def test_a_name_of_a_container_is_one_for_every_id() -> None:
    ids = ("f-1-v/0", "f-1-v/1", "f-1-v-0", "é/0", "x" * 300 + "/0", "x" * 300 + "/1")
    names = [records.container_name("server", each) for each in ids]
    assert len(set(names)) == len(names)
    assert all(name.isascii() and "/" not in name and len(name) < 150 for name in names)
    assert records.container_name("another", "f-1-v/0") != names[0]


# ── how one ended ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("state", "code", "signal", "out_of_memory"),
    [
        ({"ExitCode": 0}, 0, None, False),
        ({"ExitCode": 3}, 3, None, False),
        ({"ExitCode": 137}, None, "SIGKILL", False),
        ({"ExitCode": 137, "OOMKilled": True}, None, "SIGKILL", True),
        ({"ExitCode": 143}, None, "SIGTERM", False),
        ({"ExitCode": 255}, 255, None, False),
        ({}, 0, None, False),
    ],
)
def test_an_engine_tells_signals_as_a_shell_does(
    state: Mapping[str, Any], code: int | None, signal: str | None, out_of_memory: bool
) -> None:
    end = containers.ended(state)
    assert (end.exit_code, end.signal, end.out_of_memory) == (code, signal, out_of_memory)


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_directory_that_is_short_enough_for_processes_is_for_containers() -> None:
    """Else a server that has always run would not start any more, for containers it has not."""
    longest = Path("/" + "d" * 200)
    while True:
        try:
            ProcessPlaces(longest)
            break
        except ValueError:
            longest = Path(str(longest)[:-1])
    assert len(str(longest)) > 50
    Places(longest, longest / "state")
    with pytest.raises(ValueError, match="too long for UNIX sockets"):
        Places(Path(f"{longest}{'d' * 20}"), longest / "state")


# ── pulling ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("image", "registry", "repository", "tag"),
    [
        ("mine", "docker.io", "mine", "latest"),
        ("mine:3", "docker.io", "mine", "3"),
        ("me/mine:3", "docker.io", "me/mine", "3"),
        ("localhost/mine:3", "localhost", "localhost/mine", "3"),
        ("host:5000/mine", "host:5000", "host:5000/mine", "latest"),
        ("host:5000/mine:3", "host:5000", "host:5000/mine", "3"),
        (f"{ECR}", ECR.partition("/")[0], ECR.rpartition(":")[0], "2.6.0-cpu-py312"),
        ("a.b/mine@sha256:ab", "a.b", "a.b/mine", "sha256:ab"),
        ("a.b/mine:3@sha256:ab", "a.b", "a.b/mine", "sha256:ab"),
        ("index.docker.io/mine", "docker.io", "index.docker.io/mine", "latest"),
    ],
)
def test_names_are_read_as_engines_read_them(
    image: str, registry: str, repository: str, tag: str
) -> None:
    assert registry_of(image) == registry
    assert split(image) == (repository, tag)


def test_progress_is_told_when_it_has_changed() -> None:
    progress = Progress("mine:3")
    said: list[dict[str, Any]] = [
        {"status": "Pulling from mine", "id": "3"},
        {"status": "Pulling fs layer", "id": "a", "progressDetail": {}},
        {
            "status": "Downloading",
            "id": "a",
            "progressDetail": {"current": 5_000_000, "total": 9_500_000},
        },
        {
            "status": "Downloading",
            "id": "a",
            "progressDetail": {"current": 5_000_100, "total": 9_500_000},
        },
        {"status": "Download complete", "id": "a", "progressDetail": {}},
        {"status": "Copying blob sha256:cd", "id": "cd"},
    ]
    assert [words for each in said if (words := progress.take(each))] == [
        "pulling image mine:3",
        "pulling image mine:3: 5 of 10 MB",
        "pulling image mine:3: 9 of 10 MB",
    ]


@pytest.mark.parametrize(
    ("said", "help_"),
    [
        ("unauthorized: authentication required", "inservice image login a.b"),
        ("denied: requested access to the resource is denied", "inservice image login a.b"),
        ("manifest unknown: manifest tagged by x is not found", "has no such image"),
        ("dial tcp: lookup a.b: no such host", "cannot reach a.b"),
        ("x509: certificate signed by unknown authority", "what the container engine says"),
    ],
)
def test_a_pull_that_failed_says_what_to_do(said: str, help_: str) -> None:
    words = not_pulled("a.b/mine:3", f"first line\n{said}.")
    assert help_ in words
    assert said in words
    assert "first line" not in words
    assert "(no credentials)" in not_pulled("a.b/mine:3", said, "no credentials")


def test_what_was_pulled_is_pulled_again_by_its_digest_and_what_was_not_is_not() -> None:
    digests = ["other.b/x@sha256:1", "a.b/mine@sha256:2"]
    assert pulling.digest_of("a.b/mine:3", digests) == "a.b/mine@sha256:2"
    assert pulling.digest_of("mine:3", ["docker.io/library/mine@sha256:3"]).endswith(":3")
    assert pulling.digest_of("localhost/mine:3", ["localhost/mine@sha256:4"]) == ""
    assert pulling.digest_of("mine:3", []) == ""


@pytest.mark.parametrize(
    ("said", "words", "is_of_the_host"),
    [
        (
            'exec: "serve": OCI runtime attempted to invoke a command that was not found',
            "no program 'serve'",
            False,
        ),
        (
            'runc create failed: exec: "serve": executable file not found in $PATH: unknown',
            "no program 'serve'",
            False,
        ),
        ("crun: executable file `serve` not found in $PATH", "no program 'serve'", False),
        ("exec /bin/entry: exec format error", "another processor", False),
        ('exec: "/bin/entry": permission denied', "may not be executed", False),
        ('exec: "/bin/no": stat /bin/no: no such file or directory', "ENTRYPOINT names", False),
        ('could not select device driver "nvidia" with capabilities: [[gpu]]', "a GPU", False),
        ("unresolvable CDI devices nvidia.com/gpu=GPU-1", "a GPU", False),
        ("write /var: no space left on device", "disk of the container engine", True),
        ("statfs /shelf: no such file or directory", "does not see this server's files", True),
        ("something new", "The engine says: something new.", False),
    ],
)
def test_what_an_engine_says_of_a_start_becomes_words_to_act_on(
    said: str, words: str, is_of_the_host: bool
) -> None:
    told = reasons.not_started("mine:3", said)
    assert words in told
    assert "'mine:3'" in told
    assert reasons.is_of_the_host(told) is is_of_the_host


# ── logins ───────────────────────────────────────────────────────────────────────────────────────


def test_logins_are_kept_by_registry_for_nobody_else_to_read(tmp_path: Path) -> None:
    kept = Logins(tmp_path / "containers")
    assert kept.all() == {}
    kept.add("a.b", Login("me", "p1"))
    kept.add("c.d:5000", Login("you", "p2"))
    kept.add("a.b", Login("me", "p3"))
    assert kept.find("a.b") == Login("me", "p3")
    assert kept.path.stat().st_mode & 0o777 == 0o600
    assert kept.path.parent.stat().st_mode & 0o777 == 0o700
    assert "p3" not in repr(kept.find("a.b"))
    assert kept.remove("a.b") is True
    assert kept.remove("a.b") is False
    assert list(kept.all()) == ["c.d:5000"]
    kept.path.write_text("[]")
    with pytest.raises(LoginsUnreadable, match=r"logins\.json"):
        kept.find("a.b")


@pytest.mark.parametrize(
    ("given", "registry"),
    [
        ("https://A.b/v2/", "a.b"),
        ("http://a.b:5000", "a.b:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("", ""),
    ],
)
def test_a_registry_may_be_written_as_an_address(given: str, registry: str) -> None:
    assert logins.normal(given) == registry


# ── which runtime ────────────────────────────────────────────────────────────────────────────────


class Known:
    """Images by name."""

    def resolve(self, uri: str) -> Resolved:
        if uri.endswith("training:1"):
            return NotRunnable(uri, "It trains.", "Take the other.")
        if uri.endswith("known:1"):
            return OciImage(uri, "No environment stands in.", "Or take another.")
        if uri in ("sklearn", ECR):
            return EnvironmentImage(uri, "family")
        return OciImage(uri)


class Runs:
    """A runtime that only says what it was asked."""

    def __init__(self, name: str, missing: bool = False) -> None:
        self.name, self.missing = name, missing
        self.prepared: list[str | None] = []

    async def launch(self, spec: LaunchSpec) -> Handle:
        if self.missing:
            raise EngineMissing("There is no engine.")
        return Handle(spec.instance_id, self.name, "unix:/s", 1, 0.0, None)

    async def prepare(self, image: str | None = None) -> None:
        self.prepared.append(image)


def selected(wanted: str, missing: bool = False) -> tuple[Any, Runs]:
    processes, engine = Runs(PROCESS), Runs(OCI, missing)
    both: tuple[Any, Any] = (processes, engine)
    return SelectedRuntime(Known(), *both, wanted), processes


@pytest.mark.parametrize(
    ("wanted", "image", "runtime"),
    [
        (AUTO, "sklearn", PROCESS),
        (AUTO, ECR, PROCESS),
        (AUTO, "mine:3", OCI),
        (AUTO, "a.b/known:1", OCI),
        (PROCESS, ECR, PROCESS),
        (OCI, "sklearn", PROCESS),
        (OCI, ECR, OCI),
        (OCI, "mine:3", OCI),
    ],
)
def test_the_image_decides_unless_it_is_said(wanted: str, image: str, runtime: str) -> None:
    runs, _ = selected(wanted)
    handle = asyncio.run(runs.launch(spec_of(Container("primary", image, {}))))
    assert handle.runtime == runtime == runs.runtime_of(image)


def test_what_nobody_runs_is_refused_with_what_would_help() -> None:
    for wanted, image, words in (
        (AUTO, "a.b/training:1", "It trains. Take the other."),
        (OCI, "a.b/training:1", "It trains. Take the other."),
        (PROCESS, "mine:3", "INSERVICE_RUNTIME=process"),
    ):
        runs, _ = selected(wanted)
        with pytest.raises(ImageNotRunnable, match=words):
            asyncio.run(runs.launch(spec_of(Container("primary", image, {}))))
    runs, _ = selected(AUTO, missing=True)
    words = "^No environment stands in. There is no engine. Or take another.$"
    with pytest.raises(ImageNotRunnable, match=words):
        asyncio.run(runs.launch(spec_of(Container("primary", "a.b/known:1", {}))))


def test_a_model_that_is_made_pulls_nothing_yet() -> None:
    runs, processes = selected(AUTO)
    for image in (None, "sklearn", "mine:3"):
        asyncio.run(runs.prepare(image))
    assert processes.prepared == [None, "sklearn"]
