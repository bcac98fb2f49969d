"""PyTorch's container without PyTorch: which file, which settings, which errors."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from inservice.modelserver.devices import threads
from inservice.modelserver.encoding import Unacceptable
from inservice.modelserver.frameworks import pytorch
from inservice.modelserver.frameworks.base import Start
from inservice.modelserver.frameworks.pytorch import the_file, with_torchserve_s
from inservice.modelserver.settings import BadSetting, Settings, settings_from
from inservice.modelserver.stacks.toolkit import UnsupportedFormatError, toolkit_failure


def tuned(**environment: str) -> Settings:
    return with_torchserve_s(settings_from(environment, "/m"))


# ── which file is the model ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("files", "file"),
    [
        (["model.pt"], "model.pt"),
        (["model.pt", "other.pth", "third.pt"], "model.pt"),
        (["net.pth"], "net.pth"),
        (["net.pth", "._net.pth", "notes.txt"], "net.pth"),
    ],
)
def test_the_file_that_the_default_model_fn_loads(
    tmp_path: Path, files: list[str], file: str
) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert the_file(tmp_path) == tmp_path / file


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], r"Exactly one \.pth or \.pt file is required for PyTorch models: \[\]$"),
        (["a.pt", "b.pth"], r"for PyTorch models: \['a\.pt', 'b\.pth'\]$"),
        (["model.PT"], r"for PyTorch models: \[\]$"),
        (["model.safetensors"], r"\[\] \(model\.safetensors holds weights alone: a model_fn"),
    ],
)
def test_no_file_and_several_are_told_in_aws_s_words(
    tmp_path: Path, files: list[str], words: str
) -> None:
    (tmp_path / "dir.pt").mkdir()
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=words):
        the_file(tmp_path)


def test_what_torch_save_wrote_is_told_from_torchscript(tmp_path: Path) -> None:
    saved, script, other = tmp_path / "a.pth", tmp_path / "b.pth", tmp_path / "c.pth"
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("a/data.pkl", b"")
    with zipfile.ZipFile(script, "w") as archive:
        archive.writestr("b/data.pkl", b"")
        archive.writestr("b/constants.pkl", b"")
    other.write_bytes(b"\x80\x02")
    assert "written by torch.save" in pytorch._what_it_is(saved)
    assert pytorch._what_it_is(script) == pytorch._what_it_is(other) == ""


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


def test_without_torchserve_s_variables_nothing_changes() -> None:
    assert tuned() == settings_from({}, "/m")
    assert tuned(SAGEMAKER_TS_BATCH_SIZE=" ") == settings_from({}, "/m")


def test_torchserve_s_variables_are_ours() -> None:
    settings = tuned(
        SAGEMAKER_TS_BATCH_SIZE="8",
        SAGEMAKER_TS_MAX_BATCH_DELAY="50",
        SAGEMAKER_TS_MIN_WORKERS="2",
        SAGEMAKER_TS_MAX_WORKERS="4",
        SAGEMAKER_TS_RESPONSE_TIMEOUT="30",
    )
    assert (settings.batch_size_max, settings.batch_delay_seconds_max) == (8, 0.05)
    assert (settings.workers, settings.timeout_seconds) == (2, 30)


def test_a_batch_waits_as_long_as_torchserve_s_unless_something_else_is_said() -> None:
    assert tuned(SAGEMAKER_TS_BATCH_SIZE="8").batch_delay_seconds_max == 0.1
    said = tuned(SAGEMAKER_TS_BATCH_SIZE="8", INSERVICE_MAX_BATCH_DELAY_MS="7")
    assert said.batch_delay_seconds_max == 0.007
    assert tuned(SAGEMAKER_TS_MAX_WORKERS="3").workers == 3


def test_our_own_settings_win() -> None:
    settings = tuned(
        SAGEMAKER_TS_BATCH_SIZE="8",
        INSERVICE_MAX_BATCH_SIZE="4",
        SAGEMAKER_TS_MIN_WORKERS="2",
        SAGEMAKER_MODEL_SERVER_WORKERS="1",
        SAGEMAKER_TS_RESPONSE_TIMEOUT="30",
        SAGEMAKER_MODEL_SERVER_TIMEOUT="70",
    )
    assert (settings.batch_size_max, settings.workers, settings.timeout_seconds) == (4, 1, 70)
    assert tuned(SAGEMAKER_TS_MIN_WORKERS="2", INSERVICE_INLINE="true").workers == 1


@pytest.mark.parametrize("name", ["BATCH_SIZE", "MAX_BATCH_DELAY", "MIN_WORKERS"])
@pytest.mark.parametrize("value", ["-1", "many", "1.5", "1000000"])
def test_one_that_cannot_be_meant_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"SAGEMAKER_TS_{name} is '{value}'"):
        tuned(**{f"SAGEMAKER_TS_{name}": value})


@pytest.mark.parametrize(
    ("said", "count"), [("4", 4), (" 2 ", 2), ("8,2", 8), ("", None), ("0", None), ("x", None)]
)
def test_how_many_threads_compute(said: str, count: int | None) -> None:
    assert threads({"OMP_NUM_THREADS": said}) == count
    assert threads({}) is None


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


class Chosen(Exception):
    """As the toolkit's errors are made, which choose their answers."""

    status_code, message = 422, "too hot"


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (ValueError("no"), 500, b"no\nValueError: no"),
        (Unacceptable(400, "not JSON"), 500, b"not JSON\nUnacceptable: not JSON"),
        (Chosen(), 422, b"too hot\nChosen: too hot"),
        (KeyError("x"), 500, b"'x'\nKeyError: 'x'"),
    ],
)
def test_an_error_is_the_message_and_the_traceback_s_last_line(
    error: Exception, status: int, body: bytes
) -> None:
    response = toolkit_failure(error)
    assert (response.status, response.body) == (status, body)
    plug = pytorch.plug(Start(settings_from({}, "/m")))
    assert plug.failure(error) == response


def test_a_type_that_is_not_read_is_told_in_the_toolkit_s_words() -> None:
    assert str(UnsupportedFormatError("a/b")).startswith(
        "Content type a/b is not supported by this framework.\n\nPlease implement input_fn to to "
    )
