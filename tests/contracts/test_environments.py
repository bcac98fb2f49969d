"""The Pythons that stand in for images: built by real uv from tiny wheels, and run."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest import mock

import pytest

from inservice.controller.endpoints.shortages import shortage
from inservice.images.base import EnvironmentImage, EnvironmentInUse, UnknownEnvironment
from inservice.images.environments import installers, places, pythons, server, strays
from inservice.images.environments.built import REFUSE, BuiltEnvironments
from inservice.runtimes.base import EnvironmentUnavailable, Interpreter, tell_nobody
from tests.contracts import wheelhouse
from tests.contracts.environments_kit import IMAGE, Host, builds_of, said, versions
from tests.volumes import mounted
from tests.waiting import until

APART = (sys.executable, "-P", "-m", "inservice.runtimes.process.apart")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One for all that do not mind what others have built."""
    made = Host(tmp_path_factory.mktemp("host"))
    yield made
    places.clear(made.root)  # pytest cannot: what is built is not to be written to


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    places.clear(made.root)


class TestAnImage:
    def test_its_environment_has_what_it_asks_for_and_our_model_server(self, host: Host) -> None:
        python = host.have()
        assert said(python, "import tiny_framework; print(tiny_framework.version)") == "1.2"
        assert said(python, "import inservice; print(inservice.__path__[0])").endswith("inservice")
        environment = Path(python.executable).parents[1]
        assert str(environment) in python.roots
        locked = (environment / "requirements.lock").read_text().splitlines()
        own = {f"{name}=={importlib.metadata.version(name)}" for name in server.IMPORTED}
        assert {"tiny-framework==1.2", "tiny-numbers==2.0", *own} == {*locked}

    def test_our_model_server_runs_in_it(self, host: Host) -> None:
        house = host.place / "real"
        for name in server.IMPORTED:
            wheelhouse.packed(house, name)
        image = EnvironmentImage("example/real:1", "real", python=_minor(pythons.own()))
        variables = {**host.variables, "PIP_FIND_LINKS": str(house)}

        async def all_of_it(builds: BuiltEnvironments) -> Interpreter:
            async with builds_not_met(builds):
                return await builds.interpreter(image, None)

        python = host.run(all_of_it, variables=variables)
        modules = ("modelserver.main", "runtimes.process.zygote", "runtimes.process.instance")
        program = "; ".join(f"import inservice.{module}" for module in modules)
        assert said(python, f"{program}; print('all there')") == "all there"

    def test_nobody_can_write_to_it(self, host: Host) -> None:
        environment = Path(host.have().executable).parents[1]
        modes = {
            path: path.lstat().st_mode
            for path in (environment, *environment.rglob("*"))
            if not path.is_symlink()
        }
        assert [path for path, mode in modes.items() if mode & 0o222] == []
        assert [path for path, mode in modes.items() if not mode & 0o044] == []

    def test_bytecode_is_there_already(self, host: Host) -> None:
        environment = Path(host.have().executable).parents[1]
        assert list(environment.rglob("tiny_framework.*.pyc"))

    def test_the_servers_own_python_is_handed_out_at_once_where_it_will_do(
        self, empty: Host
    ) -> None:
        image = EnvironmentImage(
            "example/own:1", "own", ("msgspec>=0.1",), preimports=("json",), variables={"A": "b"}
        )
        python = empty.have(image=image)
        assert python == Interpreter(preimports=("json",), variables={"A": "b"})
        assert not empty.root.exists()
        assert empty.run(lambda builds: builds.build(image, tell_nobody)) is None

    @pytest.mark.long
    def test_one_that_wants_another_python_gets_it(self, host: Host) -> None:
        others = [
            each
            for each in pythons.there()
            if not each.is_older_than(server.OLDEST) and _minor(each) != _minor(pythons.own())
        ]
        if not others:
            pytest.skip("this host has no second Python that our code runs on")
        image = EnvironmentImage("example/other:1", "other", python=_minor(others[-1]))
        variables = {**host.variables, "HOME": os.environ["HOME"]}
        python = host.have(image=image, variables=variables)
        version = said(python, "import sys; print('%d.%d' % sys.version_info[:2])")
        assert version == _minor(others[-1])
        # The source beside compiled modules of ours, whatever Python those are for.
        assert said(python, "import inservice.contract as c; print(c.__name__)")

    def test_another_python_is_found_by_its_version_wherever_it_is(self) -> None:
        assert pythons.find("") == pythons.own()
        for python in pythons.there():
            found = pythons.find(_minor(python))
            assert found is not None
            assert _minor(found) == _minor(python)

    @pytest.mark.parametrize(
        ("version", "words"), [("3.99", "is not on this host: there is 3."), ("3.6", "3.6")]
    )
    def test_one_that_no_host_has_is_refused_with_what_there_is(
        self, host: Host, version: str, words: str
    ) -> None:
        image = EnvironmentImage("example/new:1", "new", python=version)
        assert words in host.refused(image=image)

    def test_all_that_ask_at_once_get_one_build_and_hear_of_it(self, empty: Host) -> None:
        heard: list[list[str]] = [[] for _ in range(5)]

        async def all_at_once(builds: BuiltEnvironments) -> list[Interpreter]:
            asked = (builds.interpreter(IMAGE, None, each.append) for each in heard)
            return [*await asyncio.gather(*asked)]

        made = empty.run(all_at_once)
        assert len({python.executable for python in made}) == 1
        assert all(clauses[0] == "resolving 1 requirement" for clauses in heard)

    @pytest.mark.long
    def test_two_servers_build_it_once(self, empty: Host) -> None:
        """Two that share a directory: the second finds what the first has built."""

        async def both(first: BuiltEnvironments) -> list[Interpreter]:
            second = empty.builds()
            asked = (builds.interpreter(IMAGE, None) for builds in (first, second))
            return [*await asyncio.gather(*asked)]

        first, second = empty.run(both)
        assert first == second
        assert len(builds_of(empty)) == 1

    def test_the_files_of_packages_are_shared(self, host: Host) -> None:
        """A second environment with the same framework costs nearly nothing."""
        more = EnvironmentImage("example/more:1", "more", ("tiny-framework>=1", "tiny-numbers<2"))
        one, other = (
            Path(host.have(image=image).executable).parents[1].rglob("tiny_framework.py")
            for image in (IMAGE, more)
        )
        assert next(one).samefile(next(other))

    def test_a_server_that_has_moved_is_found_again(self, host: Host) -> None:
        environment = Path(host.have().executable).parents[1]
        (link,) = environment.rglob("site-packages/inservice")
        moved = host.place / "elsewhere" / "inservice"
        moved.mkdir(parents=True)
        with mock.patch.object(server, "CODE", moved):
            host.have()
        assert link.readlink() == moved
        assert not link.parent.stat().st_mode & 0o222
        assert said(host.have(), "import inservice.ids; print(1)") == "1"

    @pytest.mark.long
    def test_one_whose_python_is_gone_is_built_anew(self, empty: Host) -> None:
        environment = Path(empty.have().executable).parents[1]
        (environment / "bin").chmod(0o755)
        (environment / "bin" / "python").unlink()
        (environment / "bin" / "python").symlink_to("/nowhere/python3")
        assert said(empty.have(), "print(1)") == "1"


def _minor(python: pythons.Python) -> str:
    return ".".join(python.version.split(".")[:2])


class Astray(BaseHTTPRequestHandler):
    """An index that sends whoever asks elsewhere, and does not say where."""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """To nobody."""


@contextlib.contextmanager
def astray() -> Iterator[int]:
    """The port of one."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Astray) as index:
        Thread(target=index.serve_forever, daemon=True).start()
        yield index.server_port
        index.shutdown()


class builds_not_met:  # noqa: N801 - as contextlib's own
    """Have what the server's own Python meets built all the same."""

    def __init__(self, builds: BuiltEnvironments) -> None:
        self._builds = builds

    async def __aenter__(self) -> None:
        self._builds.is_met = lambda image: False  # type: ignore[method-assign]

    async def __aexit__(self, *_: object) -> None:
        del self._builds.is_met


class TestRequirementsTxt:
    def test_it_is_installed_on_top_of_the_image(self, host: Host) -> None:
        wheelhouse.wheel(host.house, "extra", needs=["tiny-numbers<2"])
        before = host.have()
        after = host.have(host.code("extra  # what AWS's containers run pip for\n"))
        assert versions(after, "extra", "tiny-framework", "tiny-numbers") == ["1.0", "1.2", "1.0"]
        assert versions(before, "tiny-numbers") == ["2.0"], "the image's own is what it was"

    @pytest.mark.long
    def test_it_may_change_what_the_image_has(self, host: Host) -> None:
        wheelhouse.wheel(host.house, "tiny-framework", "0.9")
        after = host.have(host.code("tiny-framework==0.9\n"))
        assert versions(after, "tiny-framework") == ["0.9"]

    def test_what_runs_is_its_own_version_where_both_were_unpacked_at_once(
        self, host: Host
    ) -> None:
        """Python knows bytecode by the size and the second of its source: they tell nothing."""
        for version in ("1.0", "2.0"):
            wheelhouse.wheel(host.house, "twin", version)
        image = EnvironmentImage("example/twin:1", "twin", ("twin",))
        before = host.have(image=image)
        host.have(host.code("twin<2\n"))
        base = Path(said(before, "import twin; print(twin.__file__)"))
        for path in host.root.rglob("twin.py"):  # also what uv has, of which these are links
            os.utime(path, ns=(base.stat().st_mtime_ns,) * 2)
        after = host.have(host.code("twin<2\n"), image=image)
        run = "import twin; print(twin.version)"
        assert (said(before, run), said(after, run)) == ("2.0", "1.0")
        kept = "import httptools; print(httptools.__cached__)"
        one, other = (Path(said(python, kept)) for python in (before, after))
        assert one.samefile(other), "what is the same in both is compiled once"

    @pytest.mark.long
    def test_what_does_not_have_to_change_stays(self, host: Host) -> None:
        wheelhouse.wheel(host.house, "stays", "1.0")
        first = host.have(host.code("stays\n"))
        wheelhouse.wheel(host.house, "tiny-framework", "1.3")
        wheelhouse.wheel(host.house, "stays-too", "1.0", needs=["tiny-framework"])
        after = host.have(host.code("stays-too\n"))
        (host.house / "tiny_framework-1.3-py3-none-any.whl").unlink()
        assert versions(first, "tiny-framework") == versions(after, "tiny-framework") == ["1.2"]

    def test_the_same_content_is_built_once_wherever_it_lies(self, host: Host) -> None:
        first = host.have(host.code("tiny-numbers==1.0\n"))
        before = builds_of(host)
        assert host.have(host.code("# the same\n  tiny-numbers==1.0\n")) == first
        assert builds_of(host) == before

    def test_wheels_that_it_carries(self, host: Host, tmp_path: Path) -> None:
        carried = wheelhouse.wheel(tmp_path, "carried", "3.0")
        by_name = host.code("carried\n")
        nested = host.code("-r more.txt\n", **{"more.txt": f"./{carried.name}\n-c limits.txt\n"})
        (nested / "limits.txt").write_text("carried<4\n")
        for code in (by_name, nested):
            (code / carried.name).write_bytes(carried.read_bytes())
            assert versions(host.have(code), "carried") == ["3.0"]
        wheelhouse.wheel(tmp_path, "carried", "3.0", files={"more.py": b""})
        (by_name / carried.name).write_bytes(carried.read_bytes())
        assert said(host.have(by_name), "import more; print(1)") == "1", "other content: built anew"

    def test_hashes(self, host: Host) -> None:
        path = wheelhouse.wheel(host.house, "pinned")
        right, wrong = wheelhouse.sha256(path), f"sha256:{'0' * 64}"
        python = host.have(host.code(f"pinned==1.0 \\\n    --hash={right}\n"))
        assert versions(python, "pinned", "tiny-framework") == ["1.0", "1.2"]
        assert "hash" in host.refused(host.code(f"pinned==1.0 --hash={wrong}\n")).lower()
        unpinned = host.code(f"pinned==1.0 --hash={right}\ntiny-numbers==1.0\n")
        assert "hash" in host.refused(unpinned).lower()

    def test_an_index_of_its_own(self, host: Host, tmp_path: Path) -> None:
        code = host.code("--extra-index-url ./simple\nindexed\n")
        wheel = wheelhouse.wheel(code / "simple" / "indexed", "indexed")
        (wheel.parent / "index.html").write_text(f'<a href="{wheel.name}">{wheel.name}</a>')
        variables = host.variables
        del variables["PIP_NO_INDEX"]
        variables["PIP_INDEX_URL"] = (tmp_path / "none").as_uri()
        (tmp_path / "none").mkdir()
        assert versions(host.have(code, variables=variables), "indexed") == ["1.0"]

    def test_code_lib_takes_its_place_for_one_framework_alone(self, host: Host) -> None:
        code = host.code("there-is-no-such-package\n")
        (code / "lib").mkdir()
        image = EnvironmentImage("example/tf:1", "tf", IMAGE.requirements, framework="tensorflow")
        assert host.have(code, image=image) == host.have(image=image)
        assert "there-is-no-such-package" in host.refused(code)

    def test_one_that_asks_for_nothing_is_none(self, host: Host) -> None:
        assert host.have(host.code("# later\n\n")) == host.have()

    def test_it_is_refused_where_the_setting_says_so(self, host: Host) -> None:
        words = host.refused(host.code("tiny-numbers\n"), requirements=REFUSE)
        assert "INSERVICE_REQUIREMENTS=refuse" in words
        assert host.have(requirements=REFUSE) == host.have()

    def test_what_our_model_server_needs_cannot_be_taken_from_it(self, host: Host) -> None:
        wheelhouse.wheel(host.house, "msgspec", "0.1")
        assert "model server" in host.refused(host.code("msgspec==0.1\n"))

    def test_its_code_is_not_run_by_who_builds(self, host: Host, tmp_path: Path) -> None:
        """A wheel is unpacked and compiled by a process with the server's rights."""
        trace = tmp_path / "run"
        program = f"import pathlib; pathlib.Path({str(trace)!r}).touch()\n".encode()
        files = {"evil.pth": program, "sitecustomize.py": program, "inservice/__init__.py": program}
        wheelhouse.wheel(host.house, "evil", files=files)
        ours = (server.CODE / "__init__.py").read_bytes()
        python = host.have(host.code("evil\n"))
        assert not trace.exists()
        assert (server.CODE / "__init__.py").read_bytes() == ours
        assert said(python, "import inservice.ids; print(1)") == "1", "ours is what is imported"

    @pytest.mark.parametrize(
        "place", ["scripts/python", pytest.param("data/bin/python3", marks=pytest.mark.long)]
    )
    def test_it_gets_no_python_of_its_own(self, host: Host, place: str) -> None:
        name = f"poser-{place.count('/')}"
        file = f"{name.replace('-', '_')}-1.0.data/{place}"
        wheelhouse.wheel(host.house, name, files={file: b"#!/bin/sh\n"})
        assert "ython" in host.refused(host.code(f"{name}\n"))


class TestSource:
    def test_what_has_no_wheel_is_built(self, host: Host) -> None:
        wheelhouse.sdist(host.house, "built")
        python = host.have(host.code("built\ntiny-numbers==1.0\n"))
        assert versions(python, "built", "tiny-numbers") == ["1.0", "1.0"]

    def test_a_directory_of_the_models_is_built_and_is_not_changed(self, host: Host) -> None:
        code = host.code("-e ./own\n")
        (code / "own").mkdir()
        for name, text in wheelhouse.source("own", at_build="open('left', 'w').close()").items():
            (code / "own" / name).write_text(text)
        there = sorted(path.name for path in (code / "own").iterdir())
        assert versions(host.have(code), "own") == ["1.0"]
        assert sorted(path.name for path in (code / "own").iterdir()) == there

    def test_its_own_words_tell_why_it_cannot_be_built(self, host: Host) -> None:
        wheelhouse.sdist(host.house, "broken", at_build="sys.exit('no compiler for you')")
        words = host.refused(host.code("broken\n"))
        assert "no compiler for you" in words
        assert "wheel in the code directory" in words

    def test_it_sees_nothing_of_the_servers(self, host: Host, tmp_path: Path) -> None:
        report = "import json; raise SystemExit('SAW ' + json.dumps(sorted(os.environ)))"
        wheelhouse.sdist(host.house, "curious", at_build=report)
        os.environ["AWS_SECRET_ACCESS_KEY"] = "not for you"
        try:
            words = host.refused(host.code("curious\n"))
        finally:
            del os.environ["AWS_SECRET_ACCESS_KEY"]
        assert "SAW" in words
        assert "AWS" not in words

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user of a process")
    def test_a_server_of_root_has_it_built_by_another_user(self, host: Host) -> None:
        secret = host.place / "secret"
        secret.write_text("the root key")
        secret.chmod(0o600)
        report = (
            f"import pathlib; p = pathlib.Path({str(secret)!r}); "
            "raise SystemExit(f'UID {os.getuid()} SEES {p.exists()}')"
        )
        wheelhouse.sdist(host.house, "nosy", at_build=report)
        words = host.refused(host.code("nosy\n"), apart=APART, hidden=(host.place,))
        assert "UID 0" not in words
        assert "SEES False" in words
        wheelhouse.sdist(host.house, "apart")
        python = host.have(host.code("apart\n"), apart=APART, hidden=(secret.parent / "none",))
        assert versions(python, "apart") == ["1.0"]

    def test_what_it_leaves_running_is_ended(self, host: Host, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        pids.touch()
        pids.chmod(0o666)
        leave = (
            "import subprocess\n"
            "quiet = {name: subprocess.DEVNULL for name in ('stdin', 'stdout', 'stderr')}\n"
            "p = subprocess.Popen(['sleep', '1000'], start_new_session=True, **quiet)\n"
            f"open({str(pids)!r}, 'w').write(str(p.pid))"
        )
        wheelhouse.sdist(host.house, "leaves", at_build=leave)
        host.have(host.code("leaves\n"))
        assert not Path(f"/proc/{pids.read_text()}").exists()


class TestTrouble:
    def test_impossible_requirements_are_said_with_the_installers_own_words(
        self, host: Host
    ) -> None:
        image = EnvironmentImage("example/no:1", "no", ("tiny-framework>=7",))
        words = host.refused(image=image)
        assert words.startswith("The environment of the image 'example/no:1' cannot be had: ")
        assert "tiny-framework>=7" in words
        assert "uv " in words

    def test_a_wheel_for_another_platform(self, host: Host) -> None:
        wheelhouse.wheel(host.house, "foreign", tag="cp311-cp311-win_amd64")
        assert "foreign" in host.refused(host.code("foreign\n"))

    def test_a_build_that_hangs_is_ended(self, host: Host) -> None:
        wheelhouse.sdist(host.house, "hangs", at_build="time.sleep(1000)")
        host.have()
        words = host.refused(host.code("hangs\n"), timeout_seconds=1.5)
        assert "INSERVICE_IMAGE_BUILD_TIMEOUT" in words
        assert "hangs" in words or "resolving" in words

    def test_one_that_nobody_wants_any_more_is_ended(self, host: Host) -> None:
        wheelhouse.sdist(host.house, "awaited", at_build="time.sleep(1000)")
        code = host.code("awaited\n")

        async def given_up(builds: BuiltEnvironments) -> list[int]:
            asking = [asyncio.ensure_future(builds.interpreter(IMAGE, code)) for _ in range(2)]
            room = await until(lambda: [*(host.root / "building").glob("*")])
            await until(lambda: [*strays.of(room[0].name)])
            asking[0].cancel()
            await asyncio.wait([asking[0]])
            assert [*strays.of(room[0].name)], "the other one still wants it"
            asking[1].cancel()
            await asyncio.wait([asking[1]])
            return [*strays.of(room[0].name)]

        assert host.run(given_up) == []
        assert not list((host.root / "building").glob("*"))

    def test_one_that_failed_is_not_tried_again_at_once(self, host: Host) -> None:
        trials = host.place / "trials"
        trials.touch()
        trials.chmod(0o666)
        count = f"open({str(trials)!r}, 'a').write('x'); sys.exit('never')"
        wheelhouse.sdist(host.house, "never", at_build=count)
        code = host.code("never\n")

        async def ten(builds: BuiltEnvironments) -> set[str]:
            asked = (builds.interpreter(IMAGE, code) for _ in range(5))
            answers = await asyncio.gather(*asked, return_exceptions=True)
            for _ in range(5):
                with pytest.raises(EnvironmentUnavailable) as refused:
                    await builds.interpreter(IMAGE, code)
                answers.append(refused.value)
            return set(map(str, answers))

        assert len(host.run(ten)) == 1
        first = trials.read_text()
        host.refused(code)  # another server, or later
        assert len(trials.read_text()) == 2 * len(first)

    @pytest.mark.parametrize("free", ["bytes", pytest.param("inodes", marks=pytest.mark.long)])
    def test_a_full_disk_is_told_as_one_and_passes(self, host: Host, free: str) -> None:
        large = {f"large_{number}.bin": os.urandom(20_000) for number in range(500)}
        wheelhouse.wheel(host.house, "large", files=large)
        code = host.code("large\n")
        options = {"mib": 9} if free == "bytes" else {"mib": 100, "inodes": 500}
        with mounted(**options) as volume, mock.patch.object(host, "root", volume.path / "e"):
            host.have()
            with pytest.raises(EnvironmentUnavailable) as refused:
                host.have(code)
            assert shortage(refused.value) == "the host is out of disk space (ENOSPC)"
            assert not list((host.root / "building").iterdir())
            assert said(host.have(), "print(1)") == "1", "what is there still serves"

    @pytest.mark.parametrize(
        ("in_file", "port"),
        [(True, 0), *(pytest.param(each, 9, marks=pytest.mark.long) for each in (True, False))],
        ids=["astray", "not reached, of a file", "not reached, of the server"],
    )
    def test_passwords_of_indexes_are_told_to_nobody(
        self, host: Host, in_file: bool, port: int
    ) -> None:
        """Of an index that does not answer well, and of one that is not there, which uv asks for
        long."""
        index = contextlib.nullcontext(port) if port else astray()
        with index as number:
            self._asked_in_vain(host, f"http://somebody:s3cr3t-w0rd@127.0.0.1:{number}", in_file)

    def _asked_in_vain(self, host: Host, index: str, in_file: bool) -> None:
        url = f"{index}/simple"
        variables = host.variables
        del variables["PIP_NO_INDEX"]
        text = "nowhere-to-be-found\n"
        if in_file:
            text = f"--index-url {url}\n{text}"
        else:
            variables["PIP_INDEX_URL"] = url
        heard: list[str] = []
        code = host.code(text)
        host.have()

        async def asked(builds: BuiltEnvironments) -> str:
            with pytest.raises(EnvironmentUnavailable) as refused:
                await builds.interpreter(IMAGE, code, heard.append)
            return str(refused.value)

        words = host.run(asked, variables=variables)
        assert index.partition("@")[2] in words
        assert "s3cr3t" not in f"{words} {heard}"
        kept = [path for path in host.root.rglob("*.json") if b"s3cr3t" in path.read_bytes()]
        assert not kept

    def test_passwords_are_in_nothing_that_is_kept(self, host: Host, tmp_path: Path) -> None:
        wheelhouse.wheel(tmp_path, "remote")
        handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as index:
            Thread(target=index.serve_forever, daemon=True).start()
            place = f"http://me:s3cr3t-w0rd@127.0.0.1:{index.server_port}"
            code = host.code(f"remote @ {place}/remote-1.0-py3-none-any.whl\n")
            python = host.have(code)
            index.shutdown()
        assert versions(python, "remote") == ["1.0"]
        (listed,) = [
            each
            for each in host.run(lambda builds: builds.environments())
            if each.name in python.executable
        ]
        assert listed.requirements == (
            f"remote @ http://****@127.0.0.1:{index.server_port}/remote-1.0-py3-none-any.whl",
        )
        kept = Path(python.executable).parents[1].rglob("*")
        assert not [p for p in kept if p.is_file() and b"s3cr3t" in p.read_bytes()]


class TestPip:
    @pytest.fixture(autouse=True)
    def without_uv(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(installers, "find_uv", lambda: "")

    def test_it_installs_where_uv_does_not_run(self, empty: Host) -> None:
        python = empty.have()
        assert versions(python, "tiny-numbers", "tiny-framework") == ["2.0", "1.2"]
        assert said(python, "import inservice.ids; print(1)") == "1"

    @pytest.mark.long
    def test_it_builds_what_has_no_wheel_and_says_what_is_not_there(self, empty: Host) -> None:
        wheelhouse.sdist(empty.house, "built")
        python = empty.have(empty.code("built\ntiny-numbers==1.0\n"))
        assert versions(python, "built", "tiny-numbers", "tiny-framework") == ["1.0", "1.0", "1.2"]
        assert said(python, "import inservice.ids; print(1)") == "1"
        words = empty.refused(empty.code("not-there-at-all\n"))
        assert "not-there-at-all" in words
        assert "pip " in words


class TestHousekeeping:
    def test_what_is_built_is_listed_and_removed_by_its_name(self, empty: Host) -> None:
        async def all_of_it(builds: BuiltEnvironments) -> None:
            assert await builds.built(IMAGE) is None
            made = await builds.build(IMAGE, tell_nobody)
            assert made is not None
            assert made.images == (IMAGE.uri,)
            assert made.requirements == IMAGE.requirements
            assert "tiny-framework==1.2" in made.packages
            assert made.size_bytes > 1000
            assert not made.in_use
            assert await builds.built(IMAGE) == made
            assert [*await builds.environments()] == [made]
            with pytest.raises(UnknownEnvironment):
                await builds.remove("nothing-like-it")
            assert await builds.remove(made.name[:8]) == made
            assert [*await builds.environments()] == []

        empty.run(all_of_it)
        assert not list((empty.root / "removed").iterdir())
        assert said(empty.have(), "print(1)") == "1", "asked for again, it is built again"

    def test_what_is_used_is_neither_removed_nor_pruned(self, empty: Host) -> None:
        house = empty.house
        wheelhouse.packed(house, "msgspec")
        python = empty.have()
        program = "import msgspec, sys; print('there', flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [python.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"there\n"

            async def tried(builds: BuiltEnvironments) -> list[Any]:
                (one,) = await builds.environments()
                assert one.in_use
                with pytest.raises(EnvironmentInUse):
                    await builds.remove(one.name)
                return [*await builds.prune(0.0)]

            assert empty.run(tried) == []
            process.communicate()
        (removed,) = empty.run(lambda builds: builds.prune(0.0))
        assert removed.images == (IMAGE.uri,)
        archives = empty.root / "cache" / "archive-v0"
        assert not archives.is_dir() or not list(archives.iterdir()), "nothing shares it any more"
        assert said(empty.have(), "import tiny_framework; print(1)") == "1"

    def test_what_was_just_handed_out_is_in_use(self, empty: Host) -> None:
        async def tried(builds: BuiltEnvironments) -> list[Any]:
            await builds.interpreter(IMAGE, None)
            return [*await builds.prune(0.0)]

        assert empty.run(tried) == []
        (one,) = empty.run(lambda builds: builds.environments())
        assert empty.run(lambda builds: builds.prune(3600.0)) == []
        assert empty.run(lambda builds: builds.prune(0.0)) == [one]
