"""Each family by the image that its users name: a real model, boto3 alone, right answers, the
statuses and content types of AWS's container.

Models are made by the family's own library, in an environment that has it, together with what it
says they answer. A family is a row of FAMILIES: where its model comes from, and what is asked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.server import Server, variant
from tests.images.conftest import share_environments
from tests.waiting import wait_until

pytestmark = pytest.mark.images

AWS = "683313688378.dkr.ecr.us-east-1.amazonaws.com"
CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"

BUILD_SECONDS = 600.0
"""A bound on an environment that is built from an index that may be slow; nothing is asserted."""


@dataclass(frozen=True)
class Ask:
    """One request, and what it has to be answered with."""

    body: str  # with the names of texts that the maker wrote, in braces
    content_type: str
    status: int = 200
    answers: str = JSON  # the content type
    accept: str | None = None
    expected: str | None = None  # a name in what the maker wrote: what the body says, read
    says: str = ""  # what is in the body


@dataclass(frozen=True)
class Family:
    """One family: `makes` is run with its requirements, in the directory that is to be packed, and
    writes `expected.json` beside it."""

    name: str
    image: str
    requires: tuple[str, ...]
    makes: str
    asks: tuple[Ask, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


_DATA = """
import json, numpy as np
rng = np.random.default_rng(5)
X = rng.normal(size=(200, 3)).astype("float32")
query = X[:3]
expected = {}
"""
_SAVED = """
open("../expected.json", "w").write(json.dumps(expected))
"""

SKLEARN = Family(
    "scikit-learn",
    f"{AWS}/sagemaker-scikit-learn:1.2-1-cpu-py3",
    ("scikit-learn", "joblib"),
    """
import os, joblib
from sklearn.linear_model import LinearRegression
model = LinearRegression().fit(X, X[:, 0])
joblib.dump(model, "linear.joblib")
os.mkdir("code")
open("code/inference.py", "w").write('''
import joblib, os
def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "linear.joblib"))
''')
expected["y"] = model.predict(query).tolist()
expected["json"] = json.dumps(query.tolist())
expected["csv"] = "\\n".join(",".join(map(str, row)) for row in query.tolist())
""",
    (
        Ask("{json}", JSON, expected="y"),
        Ask("{csv}", CSV, expected="y"),
        Ask("{csv}", CSV, accept=CSV, answers=CSV, expected="y"),
        Ask("{json}", "image/png", 415, JSON, says='"error": "UnsupportedFormatError"'),
        Ask(
            "{json}", JSON, 406, JSON, "image/png", says='"error-message": "Content type image/png'
        ),
        Ask("[[1", JSON, 500, "text/html; charset=utf-8", says="500 Internal Server Error"),
    ),
    {"SAGEMAKER_PROGRAM": "inference.py"},
)

_XGBOOST = """
import xgboost
model = xgboost.train(
    {"objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(X, label=X[:, 0] > 0), 5
)
scores = model.predict(xgboost.DMatrix(query)).tolist()
expected["scores"] = scores
expected["json"] = {"predictions": [{"score": score} for score in scores]}
expected["labels"] = {
    "predictions": [{"predicted_label": int(s > 0.5), "probability": s} for s in scores]
}
expected["csv"] = "\\n".join(",".join(map(str, row)) for row in query.tolist())
expected["libsvm"] = "\\n".join(
    " ".join(f"{n}:{v}" for n, v in enumerate(row)) for row in query.tolist()
)
"""

XGBOOST = Family(
    "xgboost",
    f"{AWS}/sagemaker-xgboost:3.0-5",
    ("xgboost-cpu>=3,<4",),
    _XGBOOST
    + 'model.save_model("model.ubj")\n__import__("os").rename("model.ubj", "xgboost-model")\n',
    (
        Ask("{csv}", CSV, answers=CSV, expected="scores"),
        Ask("{csv}", CSV, accept=JSON, expected="json"),
        Ask("", CSV, 200, "application/octet-stream"),  # the container said 204
        Ask("{libsvm}", "text/libsvm", answers=CSV, expected="scores"),
        Ask("{csv}", JSON, 415, "text/html; charset=utf-8", says="is not an accepted ContentType"),
        Ask("{csv}", CSV, 406, "text/html; charset=utf-8", "image/png", says="Accept type image/p"),
        Ask("1,2,3,4", CSV, 400, "text/html; charset=utf-8", says="Unable to evaluate payload"),
        Ask("{csv}", CSV, 500, "text/html; charset=utf-8", LINES, says="Internal Server Error"),
    ),
)

SELECTABLE = Family(
    "xgboost-selectable",
    f"{AWS}/sagemaker-xgboost:3.0-5",
    XGBOOST.requires,
    XGBOOST.makes,
    (Ask("{csv}", CSV, accept=JSON, expected="labels"),),
    {"SAGEMAKER_INFERENCE_OUTPUT": "predicted_label,probability"},
)

LIGHTGBM = Family(
    "lightgbm",
    "lightgbm",
    ("lightgbm>=4,<5",),
    """
import lightgbm
model = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, label=X[:, 0]), 5)
model.save_model("model.txt")
expected["y"] = model.predict(query).tolist()
expected["named"] = {"predictions": expected["y"]}
expected["json"] = json.dumps(query.tolist())
expected["instances"] = json.dumps({"instances": query.tolist()})
""",
    (
        Ask("{json}", JSON, expected="y"),
        Ask("{instances}", JSON, expected="named"),
        Ask("[[1, 2]]", JSON, 400, "text/plain; charset=utf-8", says="cannot predict this"),
    ),
)

ONNX = Family(
    "onnx",
    "onnxruntime",
    ("onnxruntime", "magika"),
    """
import pathlib, shutil, magika, onnxruntime
(found,) = sorted(pathlib.Path(magika.__file__).parent.glob("models/*/model.onnx"))[-1:]
shutil.copyfile(found, "model.onnx")
session = onnxruntime.InferenceSession("model.onnx")
(given,) = session.get_inputs()
features = np.frombuffer(b"import os\\nprint(os.getcwd())\\n" * 80, dtype="uint8")[:2048]
rows = [features.astype("int32").tolist()]
(scores,) = session.run(None, {given.name: np.array(rows, dtype="int32")})
expected["scores"] = scores.tolist()
expected["outputs"] = {"outputs": scores.tolist()}
expected["rows"] = json.dumps(rows)
expected["named"] = json.dumps({"inputs": {given.name: rows}})
""",
    (
        Ask("{rows}", JSON, expected="scores"),
        Ask("{named}", JSON, expected="outputs"),
        Ask('{{"nobody": [[1]]}}', JSON, 400, "text/plain; charset=utf-8", says="has no input"),
    ),
)

MLFLOW = Family(
    "mlflow",
    "mlflow",
    ("mlflow-skinny>=3,<4", "pandas>=2.2,<4", "scipy"),  # without scipy it infers no types
    """
import mlflow.pyfunc, pandas
class Twice(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return (model_input["a"] * 2).to_numpy()
frame = pandas.DataFrame({"a": [1.0]})
signature = mlflow.models.infer_signature(frame, frame["a"])
mlflow.pyfunc.save_model("saved", python_model=Twice(), signature=signature, pip_requirements=[])
for path in __import__("pathlib").Path("saved").iterdir():
    path.rename(path.name)
__import__("os").rmdir("saved")
expected["twice"] = {"predictions": [5.0]}
""",
    (
        Ask('{{"dataframe_split": {{"columns": ["a"], "data": [[2.5]]}}}}', JSON, expected="twice"),
        Ask('{{"instances": [{{"a": 2.5}}]}}', JSON, expected="twice"),
        Ask("a\n2.5\n", CSV, expected="twice"),
        Ask("[", JSON, 400, JSON, says='"error_code"'),
        Ask("x", "image/png", 415, "text/plain", says="only supports the following content types"),
    ),
)

FAMILIES = (SKLEARN, XGBOOST, SELECTABLE, LIGHTGBM, ONNX, MLFLOW)


class Makers:
    """Environments with the families' own libraries, one for each set of requirements."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._made: dict[tuple[str, ...], Path] = {}

    def make(self, family: Family, directory: Path) -> Mapping[str, Any]:
        """Make the model in a directory; what it is expected to answer."""
        python = self._python(family.requires)
        source = _DATA + family.makes + _SAVED
        made = subprocess.run(
            [python, "-c", source], cwd=directory, capture_output=True, text=True, check=False
        )
        assert made.returncode == 0, made.stderr
        expected: Mapping[str, Any] = json.loads((directory.parent / "expected.json").read_text())
        return expected

    def _python(self, requires: tuple[str, ...]) -> Path:
        if requires not in self._made:
            place = self._place / str(len(self._made))
            python = place / "bin" / "python"
            for words in (
                ["venv", f"--python={sys.executable}", str(place)],
                [*("pip", "install", f"--python={python}", "numpy", *requires)],
            ):
                ran = subprocess.run(
                    [sys.executable, "-m", "uv", "--quiet", *words],
                    capture_output=True,
                    text=True,
                    check=False,
                    env=os.environ,
                )
                if ran.returncode != 0:
                    pytest.skip(f"{', '.join(requires)} cannot be had here: {ran.stderr[-300:]}")
            self._made[requires] = python
        return self._made[requires]


@pytest.fixture(scope="module")
def makers(tmp_path_factory: pytest.TempPathFactory) -> Makers:
    return Makers(tmp_path_factory.mktemp("makers"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, environments_dir: Path) -> Iterator[Server]:
    data_dir = tmp_path_factory.mktemp("families") / "data"
    share_environments(data_dir, environments_dir)
    server = Server.start(data_dir, "--workers=1")
    yield server
    server.stop()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family(family: Family, server: Server, makers: Makers, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    directory.mkdir()
    expected = makers.make(family, directory)
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(directory, ".")
    deploy(server, family, f"file://{tmp_path}/model.tar.gz")
    runtime = server.client("sagemaker-runtime")
    for ask in family.asks:
        status, content_type, body = asked(runtime, family.name, ask, expected)
        assert (status, content_type) == (ask.status, ask.answers), (ask, body)
        assert ask.says in body, ask
        if ask.expected is not None:
            assert said_alike(body, content_type, expected[ask.expected]), (ask, body)


def deploy(server: Server, family: Family, url: str) -> None:
    """An endpoint of one instance, whose environment is built if nobody has built it."""
    container = {"Image": family.image, "ModelDataUrl": url, "Environment": family.environment}
    server.client("sagemaker").create_model(ModelName=family.name, PrimaryContainer=container)
    server.create_config(family.name, variant(family.name))
    server.client("sagemaker").create_endpoint(
        EndpointName=family.name, EndpointConfigName=family.name
    )
    status = wait_until(
        lambda: (s := server.describe(family.name))["EndpointStatus"] != "Creating" and s,
        BUILD_SECONDS,
    )
    assert status["EndpointStatus"] == "InService", status.get("FailureReason")


def asked(runtime: Any, name: str, ask: Ask, expected: Mapping[str, Any]) -> tuple[int, str, str]:
    """Status, content type and body of the model's own answer."""
    texts = {key: value for key, value in expected.items() if isinstance(value, str)}
    how = {} if ask.accept is None else {"Accept": ask.accept}
    try:
        answer = runtime.invoke_endpoint(
            EndpointName=name,
            Body=ask.body.format(**texts).encode(),
            ContentType=ask.content_type,
            **how,
        )
    except ClientError as error:
        response: Any = error.response
        assert response["Error"]["Code"] == "ModelError", response
        # Of an error boto3 tells status and text; which type they had is the container's affair.
        return response["OriginalStatusCode"], ask.answers, response["OriginalMessage"]
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return status, answer["ContentType"], answer["Body"].read().decode()


def said_alike(body: str, content_type: str, expected: Any) -> bool:
    """Whether an answer says what is expected, numbers as nearly as single precision goes."""
    read = json.loads(body) if content_type == JSON else [float(line) for line in body.split()]
    return _alike(read, expected)


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return bool(one == pytest.approx(other, rel=1e-4, abs=1e-6))
    return bool(one == other)
