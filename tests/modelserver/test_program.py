"""Which file is the program, what it can import, and what finds it again."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from inservice.modelserver import failures
from inservice.modelserver.failures import said_by
from inservice.modelserver.settings import BadSetting, settings_from
from tests.modelserver.conftest import Launch, Serve
from tests.modelserver.unix_http import call

SAYS_ITS_NAME = """
def transform_fn(model, body, content_type, accept):
    return f"{__name__} {__file__.rpartition('/code/')[2]}"
"""
WRONG = "raise RuntimeError('the wrong program')"

Place = Callable[[dict[str, str]], dict[str, Path]]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Files with these contents, to be linked into an artifact."""

    def place(contents: dict[str, str]) -> dict[str, Path]:
        files = {}
        for number, (name, text) in enumerate(contents.items()):
            files[name] = tmp_path / f"{number}.py"
            files[name].write_text(text)
        return files

    return place


@pytest.mark.parametrize(
    ("named", "file", "name"),
    [
        ("serve.py", "serve.py", "serve"),
        ("serve", "serve.py", "serve"),
        ("./serve.py", "serve.py", "serve"),
        (" serve.py ", "serve.py", "serve"),
        ("src/serve.py", "src/serve.py", "src.serve"),
        ("src/serve", "src/serve.py", "src.serve"),
        ("src.serve", "src/serve.py", "src.serve"),
        ("my-model.py", "my-model.py", "my-model"),
        ("my-model.v2.py", "my-model.v2.py", "my-model.v2"),
        ("my-model.v2", "my-model.v2.py", "my-model.v2"),
        ("a.b/serve.py", "a.b/serve.py", "serve"),
        ("2nd.py", "2nd.py", "2nd"),
        ("pack", "pack/__init__.py", "pack"),
        ("/opt/ml/model/code/serve.py", "serve.py", "serve"),
        ("code.py", "code.py", "code_program"),  # modules of the standard library keep their names
        ("json.py", "json.py", "json_program"),
        ("encoding.py", "encoding.py", "encoding"),  # ours are inside of a package
        ("", "inference.py", "inference"),
        (" ", "inference.py", "inference"),
    ],
)
def test_a_program_is_found_and_imported_by_its_file(
    serve: Serve, place: Place, named: str, file: str, name: str
) -> None:
    code = SAYS_ITS_NAME if file == "inference.py" else WRONG
    files = {} if file == "inference.py" else place({f"code/{file}": SAYS_ITS_NAME})
    answer = call(serve(code, files=files, SAGEMAKER_PROGRAM=named).address, "x")
    assert answer.body.decode() == f"{name} {file}"


def test_the_file_is_preferred_to_the_package(serve: Serve, place: Place) -> None:
    files = place({"code/a.b.py": SAYS_ITS_NAME, "code/a/b.py": WRONG})
    assert (
        call(serve(WRONG, files=files, SAGEMAKER_PROGRAM="a.b").address, "x").body == b"a.b a.b.py"
    )


@pytest.mark.parametrize("named", ["missing.py", "missing", "../missing.py", "code", "lib/"])
def test_a_program_that_is_not_there_is_named(launch: Launch, named: str) -> None:
    _, sight = launch(WRONG, SAGEMAKER_PROGRAM=named)
    assert f"SAGEMAKER_PROGRAM is '{named.rstrip('/')}', which is not in" in sight.last_lines[-1]


def test_what_lies_around_the_program_can_be_imported(serve: Serve, place: Place) -> None:
    files = place(
        {
            "code/src/serve.py": """
import at_the_root, beside, in_lib
from . import beside as relative
from .deeper.still import WORDS

def transform_fn(model, body, content_type, accept):
    import subprocess, sys
    command = [sys.executable, "-c", "import at_the_root; print(at_the_root.WORDS)"]
    child = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return " ".join([at_the_root.WORDS, beside.WORDS, in_lib.WORDS, relative.WORDS, WORDS, child])
""",
            "code/at_the_root.py": "WORDS = 'root'",
            "code/src/beside.py": "WORDS = 'beside'",
            "code/src/deeper/still.py": "WORDS = 'deeper'",
            "code/lib/in_lib.py": "WORDS = 'lib'",
        }
    )
    handle = serve(WRONG, files=files, SAGEMAKER_PROGRAM="src/serve.py")
    assert call(handle.address, "x").body == b"root beside lib beside deeper root"


PICKLED = """
class Doubles:
    def predict(self, rows):
        return [2 * sum(row) for row in rows]
"""


@pytest.mark.parametrize(
    ("module", "file", "program"),
    [
        ("helpers", "helpers.py", None),  # no program at all
        ("inference", "inference.py", "inference.py"),
        ("serve", "src/serve.py", "src/serve.py"),
        ("src.serve", "src/serve.py", "src/serve.py"),
    ],
)
def test_a_pickle_finds_its_class(
    serve: Serve, place: Place, tmp_path: Path, module: str, file: str, program: str | None
) -> None:
    made = types.ModuleType(module)
    exec(PICKLED, made.__dict__)
    made.Doubles.__module__ = module
    added = {".".join(module.split(".")[: n + 1]) for n in range(module.count(".") + 1)}
    packages = {name: types.ModuleType(name) for name in added}
    sys.modules.update(packages | {module: made})
    try:
        (tmp_path / "model.pkl").write_bytes(pickle.dumps(made.Doubles()))
    finally:
        for name in added:
            sys.modules.pop(name)
    code = PICKLED if file == "inference.py" else ""
    files = {"model.pkl": tmp_path / "model.pkl"}
    if file != "inference.py":
        files |= place({f"code/{file}": PICKLED})
    environment = {} if program is None else {"SAGEMAKER_PROGRAM": program}
    handle = serve(code, files=files, **environment)
    assert call(handle.address, "[[1, 2], [3, 4]]").body == b"[6,14]"


def test_a_program_is_known_by_its_name_while_it_is_imported(launch: Launch) -> None:
    code = "import sys\nraise RuntimeError(__name__ in sys.modules)"
    _, sight = launch(code)
    assert sight.last_lines[-1] == "The model could not be loaded: RuntimeError: True"


# ── variables ────────────────────────────────────────────────────────────────────────────────────

NAMES = (
    "SAGEMAKER_PROGRAM",
    "SAGEMAKER_SUBMIT_DIRECTORY",
    "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT",
    "SAGEMAKER_MODEL_SERVER_WORKERS",
    "SAGEMAKER_MODEL_SERVER_TIMEOUT",
    "SAGEMAKER_CONTAINER_LOG_LEVEL",
    "INSERVICE_INLINE",
    "INSERVICE_MAX_BATCH_SIZE",
    "INSERVICE_MAX_BATCH_DELAY_MS",
    "SM_MODEL_DIR",
)


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_variable_is_not_set(empty: str) -> None:
    assert settings_from(dict.fromkeys(NAMES, empty), None) == settings_from({}, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "0"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "٣"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "-1"),
        ("INSERVICE_MAX_BATCH_SIZE", "1e3"),
        ("INSERVICE_INLINE", "perhaps"),
        ("SAGEMAKER_SUBMIT_DIRECTORY", "https://example.com/x.tar.gz"),
        ("SAGEMAKER_SUBMIT_DIRECTORY", "/etc/hostname"),
    ],
)
def test_a_variable_that_cannot_be_meant_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=name):
        settings_from({name: value}, "/m")


def test_one_loop_is_no_home_for_several_workers() -> None:
    both = {"INSERVICE_INLINE": "true", "SAGEMAKER_MODEL_SERVER_WORKERS": "2"}
    with pytest.raises(BadSetting, match=r"INSERVICE_INLINE.*SAGEMAKER_MODEL_SERVER_WORKERS"):
        settings_from(both, None)


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("/opt/ml/model/code", "/m/code"),
        ("/opt/ml/model", "/m"),
        ("/opt/ml/model/src/", "/m/src"),
        ("file:///opt/ml/model/code", "/m/code"),
        ("file:///srv/a%20b%23c", "/srv/a b#c"),
        ("file://localhost/srv/code", "/srv/code"),
        ("/srv/a b#c?d", "/srv/a b#c?d"),
        ("src", "/m/src"),
        ("/opt/ml/models/code", "/opt/ml/models/code"),
    ],
)
def test_where_the_code_is(named: str, meant: str) -> None:
    settings = settings_from({"SAGEMAKER_SUBMIT_DIRECTORY": named}, "/m")
    assert str(settings.code_dir) == meant


def test_the_containers_directory_is_there_for_code_that_names_it(serve: Serve) -> None:
    code = """
        import os
        AT_IMPORT = open("/opt/ml/model/code/inference.py").read()

        def model_fn(model_dir):
            assert model_dir == os.environ["SM_MODEL_DIR"]
            return os.listdir("/opt/ml/model")

        def transform_fn(model, body, content_type, accept):
            return f"{model} {os.listdir('/opt/ml/model')} {'AT_IMPORT' in AT_IMPORT}"
    """
    assert call(serve(code).address, "x").body == b"['code'] ['code'] True"


def test_where_it_is_not_there_code_that_names_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = FileNotFoundError(2, "No such file or directory", "/opt/ml/model/labels.txt")
    monkeypatch.setattr(failures, "MODEL_DIR", str(tmp_path))
    assert "There is no" not in said_by(FileNotFoundError(2, "None", f"{tmp_path}/labels.txt"))
    monkeypatch.undo()
    if Path("/opt/ml/model").exists():
        pytest.skip("this host has an /opt/ml/model itself")
    assert "There is no /opt/ml/model here: use the model_dir" in said_by(error)
