"""What lint says about an artifact is what deployment and the model server would do with it."""

from __future__ import annotations

import io
import tarfile
import types
from collections.abc import Mapping
from pathlib import Path

import pytest

from inservice.artifacts import program
from inservice.artifacts.families import Severity
from inservice.artifacts.lint import Report, lint
from inservice.modelserver import program as modelserver_program
from inservice.modelserver.frameworks.base import NoModel
from inservice.modelserver.frameworks.select import by_files
from inservice.modelserver.program import Program
from inservice.modelserver.settings import settings_from
from tests.contracts import archives
from tests.contracts.archives import member, model_archive, packed

MODEL = {"model.joblib": b"pickle"}
GOOD = b"def model_fn(d): ...\ndef predict_fn(x, model, context): ...\n"


def of_archive(path: Path, content: bytes) -> Report:
    path.joinpath("model.tar.gz").write_bytes(content)
    return lint(path / "model.tar.gz")


def of_directory(path: Path, files: Mapping[str, bytes]) -> Report:
    for name, content in files.items():
        place = path / "model" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return lint(path / "model")


def _loaded(artifact: Path) -> object:
    """What the model server makes of an artifact without code."""
    return by_files(Program({}), settings_from({}, str(artifact))).load()


@pytest.mark.parametrize(
    ("files", "loader"),
    [
        (MODEL, "scikit-learn: joblib.load of model.joblib"),
        ({"best.pkl": b"x"}, "scikit-learn: joblib.load of best.pkl"),
        ({"code/inference.py": GOOD}, "model_fn of code/inference.py (model_fn, predict_fn)"),
        (
            MODEL | {"code/inference.py": b"def output_fn(p, accept): ..."},
            "scikit-learn: joblib.load of model.joblib, with output_fn of code/inference.py",
        ),
        (
            {"code/inference.py": b"def transform_fn(model, body, kind, accept, *more): ..."},
            "code/inference.py (transform_fn)",
        ),
        (
            {"code/inference.py": b"import json, own\n" + GOOD, "code/own.py": b""},
            "model_fn of code/inference.py (model_fn, predict_fn)",
        ),
    ],
)
def test_a_good_artifact(tmp_path: Path, files: dict[str, bytes], loader: str) -> None:
    for report in (of_archive(tmp_path, model_archive(files)), of_directory(tmp_path, files)):
        assert report.deployable
        assert report.loader == loader
        assert {file.path for file in report.files} == set(files)
        assert report.size_bytes == sum(map(len, files.values()))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"readme.txt": b"x"}, "Nothing would load this"),
        ({"model/model.joblib": b"x"}, 'Everything is inside "model/"'),
        ({"inference.py": GOOD}, "beside code/"),
        ({"model.h5": b"x"}, "looks like Keras"),
        ({"a.pkl": b"x", "b.pkl": b"x"}, "Which of a.pkl, b.pkl is the model?"),
        ({"model.joblib": b""}, "It is empty"),
        ({"code/inference.py": b"def model_fn(d)"}, "not Python in line 1"),
        ({"code/inference.py": b"\0"}, "not Python"),
        ({"code/inference.py": b"def model_fn(): ..."}, "has to take 1 arguments"),
        (
            {"code/inference.py": b"def transform_fn(m, b, c): ...\ndef predict_fn(x, m): ..."},
            "which would never be called",
        ),
        (
            {"code/inference.py": b"import no_such_module_anywhere\n" + GOOD},
            "imports no_such_module_anywhere",
        ),
    ],
)
def test_what_would_fail(tmp_path: Path, files: dict[str, bytes], says: str) -> None:
    for report in (of_archive(tmp_path, model_archive(files)), of_directory(tmp_path, files)):
        assert not report.deployable
        assert says in report.findings[0].says
        assert report.findings[0].severity is Severity.ERROR


def test_what_is_worth_knowing(tmp_path: Path) -> None:
    files = MODEL | {"code/requirements.txt": b"x", "._model.joblib": b"x", ".git/HEAD": b"x"}
    report = of_archive(tmp_path, model_archive(files))
    assert report.deployable
    assert [(f.severity.value, f.where) for f in report.findings] == [
        ("note", "._model.joblib"),
        ("note", ".git/HEAD"),
    ]


LITTER = (
    *("._model.joblib", "._a.pkl", ".DS_Store", ".hidden.joblib", "._code"),
    *("__MACOSX/._model.joblib", "__MACOSX/model.joblib", "PaxHeaders.123/model.joblib"),
    *("PaxHeader/model.joblib", "code/._inference.py", ".ipynb_checkpoints/model.joblib"),
)


def test_what_systems_leave_behind_is_never_a_model(tmp_path: Path) -> None:
    """One model with all of it around: neither `lint` nor the model server has a choice to make."""
    import joblib
    from sklearn.dummy import DummyClassifier

    files = dict.fromkeys(LITTER, b"x") | {"best.pkl": b"x"}
    for report in (of_archive(tmp_path, model_archive(files)), of_directory(tmp_path, files)):
        assert report.deployable
        assert report.loader == "scikit-learn: joblib.load of best.pkl"
    joblib.dump(DummyClassifier().fit([[0.0]], [1]), tmp_path / "model/best.pkl")
    assert isinstance(_loaded(tmp_path / "model"), DummyClassifier)
    (tmp_path / "model/best.pkl").unlink()
    assert "Nothing would load this" in lint(tmp_path / "model").findings[0].says
    with pytest.raises(NoModel, match=r"none of model\.joblib") as nothing:
        _loaded(tmp_path / "model")
    assert "._" not in str(nothing.value)


def test_every_bad_member_is_named_not_only_the_first(tmp_path: Path) -> None:
    report = of_archive(
        tmp_path,
        packed(
            member("latest", kind=b"2", target="model.joblib"),
            member("../up", b"x"),
            member("model.joblib", b"x"),
            member("model.joblib", b"y"),
        ),
    )
    assert [finding.where for finding in report.findings] == ["latest", "../up", "model.joblib"]
    assert report.loader == "scikit-learn: joblib.load of model.joblib"


@pytest.mark.parametrize(
    "content", [pytest.param(content, id=name) for name, content, _ in archives.damaged()]
)
def test_damage_is_found(tmp_path: Path, content: bytes) -> None:
    assert not of_archive(tmp_path, content).deployable


@pytest.mark.parametrize(
    "make", [pytest.param(make, id=name) for name, make, _ in archives.hostile()]
)
def test_whatever_deployment_refuses_is_found(tmp_path: Path, make: archives.Make) -> None:
    assert not of_archive(tmp_path, make(tmp_path)).deployable


def test_links_in_a_directory_are_found(tmp_path: Path) -> None:
    of_directory(tmp_path, MODEL)
    (tmp_path / "model/link").symlink_to("model.joblib")
    (finding,) = lint(tmp_path / "model").findings
    assert (finding.severity, finding.where) == (Severity.WARNING, "link")
    with tarfile.open(fileobj=io.BytesIO(), mode="w:gz", dereference=True) as tar:
        tar.add(tmp_path / "model/link", "link")  # the advice works
        assert tar.getmember("link").isfile()


@pytest.mark.parametrize(
    "parameters",
    [
        *("", "a", "a, b", "a, b, c", "a, b, c=None", "a, b=1", "a, b, c=1, d=2", "*a", "a, *b"),
        *("a, b, *c", "a, b, c, *d", "a, b, **c", "a, b, *, c", "a, b, *, c=None", "a, *, b"),
        *("a, b, /", "a, b, c=None, /", "a, /, b, *, c=1", "*a, **b", "a, *b, **c"),
    ],
)
def test_they_judge_signatures_alike(parameters: str) -> None:
    source = f"def predict_fn({parameters}): ...\n"
    made = types.ModuleType("made")
    exec(source, made.__dict__)
    try:
        modelserver_program.checked(made, "inference.py")
        starts = True
    except modelserver_program.BadProgram:
        starts = False
    found = program.inspect_program(source.encode(), beside=(), is_installed=lambda name: True)
    assert starts is not any(trouble.fatal for trouble in found.troubles)


@pytest.mark.parametrize(
    "source",
    [
        "@wrapped\ndef predict_fn(a): ...",  # what a decorator makes of it is not in its text
        "if True:\n    def predict_fn(a, b): ...\nelse:\n    def predict_fn(a): ...",
        "class predict_fn: ...",
        "predict_fn: object = print",
        "predict_fn, output_fn = make()",
        "try:\n    from fast import predict_fn\nexcept ImportError:\n    predict_fn = None",
    ],
)
def test_a_handler_that_is_no_plain_function_is_seen_and_not_judged(source: str) -> None:
    found = program.inspect_program(
        f"def wrapped(f): return f\n{source}".encode(), beside=(), is_installed=lambda name: True
    )
    assert "predict_fn" in found.handlers
    assert not any(trouble.fatal for trouble in found.troubles)


# ── another program than code/inference.py ──────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("variables", "program"),
    [
        ({"SAGEMAKER_PROGRAM": "serve.py"}, "code/serve.py"),
        ({"SAGEMAKER_PROGRAM": " serve "}, "code/serve.py"),
        ({"SAGEMAKER_PROGRAM": "pkg.serve"}, "code/pkg/serve.py"),
        ({"SAGEMAKER_PROGRAM": "pkg"}, "code/pkg/__init__.py"),
        ({"SAGEMAKER_PROGRAM": "/opt/ml/model/code/a-b.c.py"}, "code/a-b.c.py"),
        ({"SAGEMAKER_PROGRAM": "./sub/../serve.py"}, "code/serve.py"),
        ({"SAGEMAKER_PROGRAM": "s", "SAGEMAKER_SUBMIT_DIRECTORY": "src"}, "src/s.py"),
        ({"SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/src"}, "src/inference.py"),
        ({"SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model"}, "inference.py"),
        ({"SAGEMAKER_PROGRAM": "", "SAGEMAKER_SUBMIT_DIRECTORY": " "}, "code/inference.py"),
    ],
)
def test_the_program_that_the_variables_name_is_looked_into(
    tmp_path: Path, variables: dict[str, str], program: str
) -> None:
    decoy = {"code/inference.py": b"def broken(:"} if program != "code/inference.py" else {}
    files = {**decoy, program: b"import beside_it\n" + GOOD}
    files[str(Path(program).parent / "beside_it.py")] = b""
    archive = tmp_path / "model.tar.gz"
    archive.write_bytes(model_archive(files))
    of_directory(tmp_path, files)
    for place in (archive, tmp_path / "model"):
        report = lint(place, environment=variables)
        assert report.loader == f"model_fn of {program} (model_fn, predict_fn)"
        assert report.deployable, report.findings


def test_a_fault_in_a_named_program_is_found(tmp_path: Path) -> None:
    of_directory(tmp_path, MODEL | {"code/serve.py": b"def model_fn(): ..."})
    assert lint(tmp_path / "model").deployable, "nobody imports it"
    report = lint(tmp_path / "model", environment={"SAGEMAKER_PROGRAM": "serve.py"})
    assert [finding.where for finding in report.findings] == ["code/serve.py"]
    assert not report.deployable


@pytest.mark.parametrize("named", ["other.py", "/opt/ml/model/code/other.py", "pkg.other"])
def test_a_named_program_that_is_not_there_fails(tmp_path: Path, named: str) -> None:
    """The model server does not fall back either."""
    of_directory(tmp_path, MODEL | {"code/inference.py": GOOD})
    report = lint(tmp_path / "model", environment={"SAGEMAKER_PROGRAM": named})
    assert not report.deployable
    assert f"SAGEMAKER_PROGRAM is '{named}'" in report.findings[0].says


@pytest.mark.parametrize(
    "variables",
    [
        {"SAGEMAKER_SUBMIT_DIRECTORY": "s3://bucket/code.tar.gz", "SAGEMAKER_PROGRAM": "x.py"},
        {"SAGEMAKER_SUBMIT_DIRECTORY": "file:///srv/code"},
        {"SAGEMAKER_SUBMIT_DIRECTORY": "../elsewhere"},
        {"SAGEMAKER_PROGRAM": "/srv/serve.py"},
    ],
)
def test_code_that_is_elsewhere_is_not_judged(tmp_path: Path, variables: dict[str, str]) -> None:
    of_directory(tmp_path, {"weights.bin": b"x"})
    report = lint(tmp_path / "model", environment=variables)
    assert report.deployable
    assert "was not looked into" in report.findings[0].says
