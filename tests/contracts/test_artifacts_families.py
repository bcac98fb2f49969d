"""What `model lint` says of an artifact for the image that would run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inservice.artifacts.families import FAMILIES
from inservice.artifacts.lint import Report, lint
from inservice.artifacts.requirements import mistakes

MODEL_FN = "def model_fn(model_dir):\n    return 1\n"
BERT = json.dumps({"architectures": ["BertForSequenceClassification"]})
TF_BOTH = "def input_handler(data, context): ...\ndef output_handler(response, context): ...\n"


def judged(
    directory: Path, framework: str | None, *names: str, **environment: str
) -> tuple[Report, str]:
    """Of an artifact with these files, `path=content`, and all that is said of it in one text."""
    for name in names:
        path, _, content = name.partition("=")
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(content or "x")
    report = lint(
        directory, environment=environment, framework=framework, is_installed=lambda _: True
    )
    return report, " ".join(f"{f.where}: {f.says}" for f in report.findings)


WORKS: list[tuple[str | None, tuple[str, ...], dict[str, str], str, str]] = [
    # framework, files, variables, what loads it, what is said
    ("pytorch", ("model.pt",), {}, "torch.jit.load of model.pt", "state_dict"),
    ("pytorch", ("net.pth",), {}, "net.pth", "state_dict"),
    ("pytorch", ("model.pt", "other.pt"), {}, "model.pt", "state_dict"),
    ("pytorch", ("a.pth", "b.pth", f"code/inference.py={MODEL_FN}"), {}, "model_fn", ""),
    ("xgboost", ("xgboost-model",), {}, "XGBoost: xgboost-model", ""),
    ("xgboost", ("m-0", "m-1"), {}, "m-0, m-1", "an ensemble"),
    ("xgboost", ("m-0", "m-1"), {"SAGEMAKER_INFERENCE_ENSEMBLE": "false"}, "m-0", "only the first"),
    ("xgboost", ("m", f"code/inference.py={MODEL_FN}"), {}, "XGBoost: m", "It is not run"),
    (
        "xgboost",
        ("m", f"code/inference.py={MODEL_FN}"),
        {"SAGEMAKER_PROGRAM": "inference.py"},
        "model_fn",
        "",
    ),
    (
        "huggingface",
        (f"config.json={BERT}", "model.safetensors", "tokenizer.json"),
        {},
        "pipeline",
        "",
    ),
    (
        "huggingface",
        ("config.json={}", "pytorch_model.bin", "vocab.txt"),
        {"HF_TASK": "fill-mask"},
        "pipeline",
        "",
    ),
    ("huggingface", (), {"HF_MODEL_ID": "org/m"}, "org/m", "takes a network"),
    ("huggingface", ("model_index.json",), {}, "text-to-image", ""),
    ("huggingface", (f"code/inference.py={MODEL_FN}",), {}, "model_fn", ""),
    ("tensorflow", ("m/1/saved_model.pb",), {}, "m/1/saved_model.pb", ""),
    ("tensorflow", ("1/saved_model.pb",), {}, "1/saved_model.pb", ""),
    ("tensorflow", ("export/Servo/7/saved_model.pb",), {}, "Servo/7", ""),
    ("tensorflow", ("a/1/saved_model.pb", "b/2/saved_model.pb"), {}, "a/1", "Several models"),
    ("tensorflow", ("m/1/saved_model.pb", f"code/inference.py={TF_BOTH}"), {}, "m/1", ""),
    ("gguf", ("smol.gguf",), {}, "smol.gguf", ""),
    ("gguf", ("m-00001-of-00002.gguf", "m-00002-of-00002.gguf"), {}, "m-00001", ""),
    ("gguf", ("model.gguf", "other.gguf"), {}, "model.gguf", ""),
    ("onnx", ("det.onnx",), {}, "det.onnx", ""),
    ("lightgbm", ("model.txt",), {}, "model.txt", ""),
    ("mlflow", ("MLmodel", "python_env.yaml"), {}, "mlflow.pyfunc", ""),
    ("sklearn", ("model.joblib",), {}, "model.joblib", "AWS's scikit-learn container"),
    (None, ("whatever",), {}, "its container", ""),
]

FAILS: list[tuple[str, tuple[str, ...], dict[str, str], str]] = [
    ("pytorch", ("weights.bin",), {}, "TorchScript"),
    ("pytorch", ("a.pt", "b.pth"), {}, "Exactly one .pth or .pt file is required"),
    ("xgboost", ("code/x.txt",), {}, "no model file at its top"),
    ("xgboost", ("xgboost-model", "README.md"), {}, "README.md"),
    ("huggingface", ("model.safetensors",), {}, "no config.json"),
    ("huggingface", (f"m/config.json={BERT}", "m/model.safetensors"), {}, "pack from inside"),
    ("huggingface", (f"config.json={BERT}",), {}, "no weights"),
    ("huggingface", ("config.json={}", "model.safetensors", "vocab.txt"), {}, "set HF_TASK"),
    ("huggingface", ("config.json=[", "model.safetensors", "vocab.txt"), {}, "set HF_TASK"),
    ("tensorflow", ("saved_model.pb",), {}, "a folder that is a number"),
    ("tensorflow", ("m/v1/saved_model.pb",), {}, "a folder that is a number"),
    ("tensorflow", ("model.keras",), {}, "no SavedModel bundles found!"),
    (
        "tensorflow",
        ("m/1/saved_model.pb", "code/inference.py=def input_handler(data, context): ..."),
        {},
        "Handlers are not implemented correctly",
    ),
    (
        "tensorflow",
        ("m/1/saved_model.pb", "code/inference.py=def handler(data): ..."),
        {},
        "handler has to take 2 arguments",
    ),
    (
        "tensorflow",
        ("m/1/saved_model.pb", f"code/inference.py={MODEL_FN}"),
        {},
        "Handlers are not implemented correctly",
    ),
    ("gguf", ("a.gguf", "b.gguf"), {}, "Which of a.gguf, b.gguf"),
    ("gguf", ("m.bin",), {}, "no .gguf"),
    ("onnx", ("a.onnx", "b.onnx"), {}, "Which of a.onnx, b.onnx"),
    ("mlflow", ("model/MLmodel",), {}, "no MLmodel at its top"),
    ("", ("model_algo-1",), {}, "MXNet"),
    (
        "pytorch",
        ("model.pt", "code/requirements.txt=torch==", f"code/inference.py={MODEL_FN}"),
        {},
        "line 1: pip does not understand it",
    ),
    (
        "pytorch",
        ("model.pt", "code/inference.py=def model_fn(a, b, c): ..."),
        {},
        "model_fn in line 1 has to take 1 arguments",
    ),
]


@pytest.mark.parametrize(("framework", "files", "environment", "loader", "says"), WORKS)
def test_what_works(
    tmp_path: Path,
    framework: str | None,
    files: tuple[str, ...],
    environment: dict[str, str],
    loader: str,
    says: str,
) -> None:
    report, said = judged(tmp_path, framework, *files, **environment)
    assert report.deployable, said
    assert loader in report.loader
    assert says in said
    assert says or not said


@pytest.mark.parametrize(("framework", "files", "environment", "says"), FAILS)
def test_what_fails(
    tmp_path: Path,
    framework: str,
    files: tuple[str, ...],
    environment: dict[str, str],
    says: str,
) -> None:
    report, said = judged(tmp_path, framework, *files, **environment)
    assert not report.deployable
    assert says in said


def test_code_is_not_asked_for_packages_that_its_image_or_its_requirements_bring(
    tmp_path: Path,
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text("import nobody_has_this\n" + MODEL_FN)
    (tmp_path / "model.pt").touch()
    assert not lint(tmp_path).deployable
    assert lint(tmp_path, framework="pytorch", is_installed=lambda _: True).deployable
    (tmp_path / "code" / "requirements.txt").write_text("nobody-has-this\n")
    assert lint(tmp_path).deployable


def test_every_family_of_the_table_is_tried() -> None:
    assert {framework for framework, *_ in WORKS} >= set(FAMILIES)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("# only words\n\nnumpy>=1,<3  # why\nuvicorn[standard]==0.1; python_version > '3'\n", {}),
        ("numpy @ https://x.example/n.whl\ngit+https://x.example/y@main\n", {}),
        ("a==1 \\\n  --hash=sha256:00\n--extra-index-url https://x.example/simple\n", {}),
        ("./here.whl\nhere.whl\n/opt/ml/model/code/here.whl\n-r more.txt\n--find-links .\n", {}),
        ("numpy==\n", {1: "does not understand"}),
        ("numpy\nnot a requirement\n", {2: "does not understand"}),
        ("./gone.whl\n-r gone.txt\n", {1: "no code/gone.whl", 2: "no code/gone.txt"}),
        ("/home/me/x.whl\n../../../etc/passwd.whl\n", {1: "not in the artifact", 2: "not in the"}),
        ("--no-such-option\n", {1: "knows no option"}),
        ("=======\n", {1: "does not understand"}),
    ],
)
def test_a_requirements_file_is_read_as_pip_would(text: str, wrong: dict[int, str]) -> None:
    beside = {"code/here.whl", "code/more.txt"}
    found = dict(mistakes(text.encode(), "code", beside))
    assert set(found) == set(wrong)
    for line, says in wrong.items():
        assert says in found[line]


def test_a_requirements_file_that_is_no_text_is_said() -> None:
    assert list(mistakes(b"\xff\xfe", "code", ())) == [(1, "It is not UTF-8.")]
