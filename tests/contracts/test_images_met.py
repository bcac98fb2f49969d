"""Whether the server's own Python has what an image asks for: as of now, and not as it was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from inservice.images.met import SAME_MODULES, met


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that packages are installed into, beside all that is there."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(
    where: Path, name: str, version: str = "1.0", requires: tuple[str, ...] = (), *extras: str
) -> Path:
    """As an installer does: a directory with the package's metadata."""
    directory = where / f"{name.replace('-', '_')}-{version}.dist-info"
    directory.mkdir()
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"]
    lines += [f"Provides-Extra: {extra}" for extra in extras]
    lines += [f"Requires-Dist: {each}" for each in requires]
    (directory / "METADATA").write_text("\n".join(lines) + "\n")
    return directory


@pytest.mark.parametrize(
    ("requirement", "lacks"),
    [
        ("parrot", False),
        ("Parrot", False),
        ("parrot >=1, <2", False),
        ("parrot==1.0", False),
        ("parrot>=1.1", True),
        ("parrot!=1.0", True),
        ("dead_parrot", True),
        ("dead-parrot; python_version < '3'", False),
        ("dead-parrot; sys_platform == 'win32'", False),
        ("parrot @ file:///srv/parrot-1.0-py3-none-any.whl", True),
        ("parrot[", True),
        ("-r requirements.txt", True),
        ("", True),
        ("parrot; python_version ~= 'x'", True),
        ("parrot[plumage]", True),
        ("parrot[voice]", False),
        ("parrot[nothing-of-the-kind]", False),
    ],
)
def test_a_requirement_is_met_or_named(packages: Path, requirement: str, lacks: bool) -> None:
    needs = (
        "cage; extra == 'plumage'",
        "absent-from-here; extra == 'never-asked'",
        "parrot[voice]; extra == 'voice'",
    )
    install(packages, "parrot", "1.0", needs, "plumage", "voice", "never-asked")
    assert met([requirement]) == ((requirement,) if lacks else ())


def test_what_is_lacking_is_said_in_the_order_it_was_asked_for(packages: Path) -> None:
    install(packages, "parrot")
    assert met(["zebra", "parrot", "ant>=3"]) == ("zebra", "ant>=3")
    assert met([]) == ()


def test_a_build_of_its_own_and_a_version_before_the_first_are_what_they_say(
    packages: Path,
) -> None:
    install(packages, "flame", "2.13.0+cpu")
    install(packages, "early", "3.0rc1")
    assert met(["flame==2.13.0", "flame>=2,<3", "early>=2"]) == ()
    assert met(["early>=3.0"]) == ("early>=3.0",)


def test_what_is_installed_changed_or_removed_later_is_seen(packages: Path) -> None:
    assert met(["parrot>=1"]) == ("parrot>=1",)
    first = install(packages, "parrot", "1.0")
    assert met(["parrot>=1"]) == ()
    assert met(["parrot>=1"]) == ()  # as it is remembered
    shutil.rmtree(first)
    os.utime(packages, ns=(1, 1))  # a clock may be too coarse to tell two changes apart
    assert met(["parrot>=1"]) == ("parrot>=1",)
    install(packages, "parrot", "0.9")
    assert met(["parrot>=1"]) == ("parrot>=1",)


def test_an_install_that_is_half_done_is_looked_at_again(packages: Path) -> None:
    """The directory is there, and what says the version is not: that changes no directory that
    packages are looked for in."""
    half = packages / "parrot-1.0.dist-info"
    half.mkdir()
    assert met(["parrot"]) == ("parrot",)
    (half / "METADATA").write_text("Metadata-Version: 2.4\nName: parrot\nVersion: 1.0\n")
    assert met(["parrot"]) == ()


def test_the_metadata_of_what_is_broken_meets_nothing(packages: Path) -> None:
    install(packages, "parrot", "not a version")
    assert met(["parrot"]) == ("parrot",)


@pytest.mark.parametrize(("asked", "others"), SAME_MODULES.items())
def test_a_package_with_the_same_modules_and_more_will_do(
    packages: Path, asked: str, others: tuple[str, ...]
) -> None:
    assert met([f"{asked}>=3,<4"]) == (f"{asked}>=3,<4",)
    for other in others:
        older = install(packages, other, "2.9")
        assert met([f"{asked}>=3,<4"]) == (f"{asked}>=3,<4",)
        shutil.rmtree(older)
        install(packages, other, "3.1")
        assert met([f"{asked}>=3,<4"]) == ()
        assert met([f"{other}>=3"]) == ()
    install(packages, asked, "1.0")  # beside it: the one that fits is what is found
    assert met([f"{asked}>=3,<4"]) == ()
