"""A profile in the user's own AWS configuration: nothing else of it changes."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import boto3
import botocore.session
import pytest

from inservice.cli import profiles
from inservice.cli.profiles import Files, ProfileRefused
from inservice.cli.target import Target

TARGET = Target("http://127.0.0.1:7420", "eu-central-1", "AKIAOURS", "s3cret")

CONFIGS = {
    "none": None,
    "empty": "",
    "others": "# mine\n[default]\nregion = us-west-2\ns3 =\n    max_concurrent_requests = 20\n\n"
    "[profile production]\nrole_arn=arn:aws:iam::1:role/x ; why\nsource_profile = default\n",
    "no newline at the end": "[default]\nregion=us-west-2",
    "other line ends": "[default]\r\nregion = us-west-2\r\n[services local]\r\ns3 =\r\n  a = b\r\n",
    "not ASCII": "# grüße\n[profile grüße]\nregion = us-west-2\n\n\n",
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    found = Files(tmp_path / "aws" / "config", tmp_path / "aws" / "credentials")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(found.config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(found.credentials))
    return found


def put(path: Path, text: str | None) -> None:
    path.parent.mkdir(exist_ok=True)
    if text is not None:
        path.write_bytes(text.encode())


def seen(name: str) -> Target:
    """The profile as boto3 sees it."""
    client = boto3.Session(profile_name=name).client("sagemaker")
    key = boto3.Session(profile_name=name).get_credentials()
    assert key is not None
    return Target(
        client.meta.endpoint_url, client.meta.region_name, str(key.access_key), str(key.secret_key)
    )


@pytest.mark.parametrize("text", CONFIGS.values(), ids=CONFIGS)
def test_a_profile_is_added_and_kept_current(text: str | None, files: Files) -> None:
    put(files.config, text)
    put(files.credentials, "[default]\naws_access_key_id=THEIRS\naws_secret_access_key=theirs\n")
    profiles.write("here", TARGET, files)
    assert seen("here") == TARGET
    assert files.config.read_bytes().startswith((text or "").encode())
    assert {path.stat().st_mode & 0o777 for path in (files.config, files.credentials)} == {0o600}
    once = files.config.read_bytes(), files.credentials.read_bytes(), files.config.stat().st_ino
    profiles.write("here", TARGET, files)
    again = files.config.read_bytes(), files.credentials.read_bytes(), files.config.stat().st_ino
    assert once == again
    moved = replace(TARGET, url="http://127.0.0.1:7421", access_key_id="AKIANEW")
    profiles.write("here", moved, files)
    assert seen("here") == moved
    assert files.config.read_bytes().replace(b"7421", b"7420") == once[0]
    theirs = botocore.session.Session(profile="default").get_credentials()
    assert theirs is not None
    assert theirs.access_key == "THEIRS"


def test_what_others_put_into_our_section_stays(files: Files) -> None:
    profiles.write("here", TARGET, files)
    with files.config.open("a") as config:
        config.write("output = table\n# and a word\n[profile after]\nregion = eu-west-1\n")
    before = files.config.read_text()
    profiles.write("here", replace(TARGET, region="eu-west-3"), files)
    assert files.config.read_text() == before.replace("eu-central-1", "eu-west-3")


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize(
    "inside",
    ["", "s3 =\n  max_concurrent_requests = 20\n", "s3 =\n\tsignature_version = s3\n", "s3 =\n"],
    ids=["nothing", "other settings", "the old way", "empty"],
)
def test_it_presigns_as_s3_takes_it(inside: str, end: str, files: Files) -> None:
    text = f"[profile here]\n{profiles.MARK}\n{inside}output = table\n[profile b]\nregion = a\n"
    put(files.config, text.replace("\n", end) if inside else None)
    profiles.write("here", TARGET, files)
    once = files.config.read_bytes()
    profiles.write("here", TARGET, files)
    assert files.config.read_bytes() == once
    assert (b"max_concurrent_requests = 20" in once) == ("max" in inside)
    for region in ("us-east-1", "eu-central-1"):
        s3 = boto3.Session(profile_name="here", region_name=region).client("s3")
        url = s3.generate_presigned_url("get_object", Params={"Bucket": "b", "Key": "k"})
        assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url


THEIRS = {
    "config": ("[profile here]\nregion = us-west-2\n", ""),
    "config, quoted": ('[profile "here"]\nregion = us-west-2\n', ""),
    "config, spaced": ("[ profile   here ]\nregion = us-west-2\n", ""),
    "credentials": ("", "[here]\naws_access_key_id = THEIRS\n"),
    "broken config": ("region without a section\n", ""),
    "said twice": ("[default]\nregion = a\n[default]\nregion = b\n", ""),
    "broken credentials": ("", "[default\n"),
    "continued": (f"[profile here]\n{profiles.MARK}\nregion = a\n  b = c\n", ""),
}


@pytest.mark.parametrize(("config", "credentials"), THEIRS.values(), ids=THEIRS)
def test_what_is_not_ours_is_refused_and_left(config: str, credentials: str, files: Files) -> None:
    put(files.config, config)
    put(files.credentials, credentials)
    with pytest.raises(ProfileRefused):
        profiles.write("here", TARGET, files)
    assert (files.config.read_text(), files.credentials.read_text()) == (config, credentials)
    assert sorted(files.config.parent.iterdir()) == [files.config, files.credentials]


@pytest.mark.parametrize("name", ["", "a b", "a]b", "a\nb", "-x", "../x", "x" * 65, "grüße"])
def test_names_that_are_none(name: str, files: Files) -> None:
    with pytest.raises(ProfileRefused):
        profiles.write(name, TARGET, files)
    assert not files.config.parent.exists()


def test_links_owners_and_one_file_for_both(files: Files, tmp_path: Path) -> None:
    put(tmp_path / "dotfiles" / "config", "[default]\nregion = a\n")
    files.config.parent.mkdir()
    files.config.symlink_to(tmp_path / "dotfiles" / "config")
    profiles.write("here", TARGET, files)
    assert files.config.is_symlink()
    assert seen("here") == TARGET
    if os.getuid() == 0:
        os.chown(files.credentials, 1234, 1234)
        profiles.write("here", replace(TARGET, access_key_id="AKIANEW"), files)
        assert files.credentials.stat().st_uid == 1234
    with pytest.raises(ProfileRefused):
        profiles.write("here", TARGET, Files(files.config, files.config))


def _write_many(worker: int, files: Files) -> None:
    for number in range(10):
        profiles.write(f"p-{worker}-{number}", TARGET, files)


def test_writers_at_the_same_time_lose_nothing(files: Files) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_write_many, args=[n, files]) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    names = botocore.session.Session().available_profiles
    assert len([name for name in names if name.startswith("p-")]) == 40
