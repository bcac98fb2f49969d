"""Models of frameworks through each server's own way to serve them: requests per second of CPU.

    python -m benchmarks.frameworks [--homes DIR] [--seconds 5] [--connections 4] [NAME …]

Two models that cost little, so that what is measured is the server: XGBoost (50 trees, one row) and
an ONNX graph (a product). Each server has one worker, in an environment of its own under `--homes`,
and gets the form of request that its documentation shows. What is counted is the CPU time of all
its processes, which other work on the machine changes less than it changes the clock. One run;
the last column is how many times as many requests InService answers with the same CPU time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import psutil
from benchmarks.closed_loop import Request, measure
from benchmarks.end_to_end.peer import NotHere, Peer, free_port
from benchmarks.wrk import Contestant

SOURCE = Path(__file__).parents[1] / "src"
READY_SECONDS = 120.0
ROW = [round(n / 10, 1) for n in range(20)]
GRID = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]

_LIBRARIES = ("numpy", "scipy", "scikit-learn", "xgboost-cpu", "onnxruntime")

_MAKES = """
import pathlib, shutil, sys
import numpy as np, onnxruntime, xgboost
rng = np.random.default_rng(0)
X = rng.normal(size=(500, 20))
parameters = {"objective": "reg:squarederror", "max_depth": 4, "nthread": 1}
xgboost.train(parameters, xgboost.DMatrix(X, label=X[:, 0]), 50).save_model("model.json")
graphs = pathlib.Path(onnxruntime.__file__).parent / "datasets"
shutil.copyfile(graphs / "mul_1.onnx", "model.onnx")
"""

_XGBOOST = """
import numpy as np
import xgboost

_model = xgboost.Booster(model_file="model.json")
_model.set_param({"nthread": 1})


def predict(rows):
    return _model.inplace_predict(np.asarray(rows, dtype="float64")).tolist()
"""

_ONNX = """
import numpy as np
import onnxruntime

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = 1
_session = onnxruntime.InferenceSession("model.onnx", _options)
_name = _session.get_inputs()[0].name


def predict(rows):
    return _session.run(None, {_name: np.asarray(rows, dtype="float32")})[0].tolist()
"""

_LITSERVE = """
import sys

import litserve
from predicting import predict


class Model(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request["instances"]

    def predict(self, rows):
        return predict(rows)

    def encode_response(self, output):
        return {"predictions": output}


if __name__ == "__main__":
    server = litserve.LitServer(Model(), accelerator="cpu")
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False,
        generate_client_file=False,
    )
"""

_BENTOML = """
import bentoml
from predicting import predict


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Model:
    @bentoml.api
    def invocations(self, instances: list[list[float]]) -> dict:
        return {"predictions": predict(instances)}
"""

_MLSERVER = """
import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from predicting import predict


class Model(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("predictions", np.asarray(predict(rows)))
        return InferenceResponse(model_name=self.name, outputs=[output])
"""


def _mlserver(predicting: str) -> Callable[[int], dict[str, str]]:
    def files(port: int) -> dict[str, str]:
        settings = {
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": 0,
            "debug": False,
        }
        model = {"name": "bench", "implementation": "served.Model"}
        return {
            "served.py": _MLSERVER,
            "predicting.py": predicting,
            "settings.json": json.dumps(settings),
            "model-settings.json": json.dumps(model),
        }

    return files


def _v2(rows: list[list[float]]) -> bytes:
    flat = [number for row in rows for number in row]
    tensor = {"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": flat}
    return json.dumps({"inputs": [tensor]}).encode()


def _ours(framework: str) -> Callable[[int], list[str]]:
    def command(port: int) -> list[str]:
        return [
            *("env", f"PYTHONPATH={SOURCE}", f"INSERVICE_FRAMEWORK={framework}"),
            *("SAGEMAKER_CONTAINER_LOG_LEVEL=30", "OMP_NUM_THREADS=1"),
            *("python", "-m", "inservice.modelserver", "--port", str(port), "--model-dir", "model"),
        ]

    return command


def peers(framework: str, rows: list[list[float]], file: str) -> list[Peer]:
    """The servers with this framework's model; ours first."""
    predicting = {"xgboost": _XGBOOST, "onnx": _ONNX}[framework]
    instances = json.dumps({"instances": rows}).encode()
    csv = "\n".join(",".join(map(str, row)) for row in rows).encode()
    return [
        Peer(
            "InService",
            ("msgspec", "httptools", "uvloop", "setproctitle", *_LIBRARIES),
            lambda _: {f"model/{file}": ""},  # the model is put there
            _ours(framework),
            "/invocations",
            body=lambda _: csv if framework == "xgboost" else instances,
        ),
        Peer(
            "LitServe",
            ("litserve", *_LIBRARIES),
            lambda _: {"served.py": _LITSERVE, "predicting.py": predicting},
            lambda port: ["python", "served.py", str(port)],
            "/predict",
            body=lambda _: instances,
        ),
        Peer(
            "BentoML",
            ("bentoml", *_LIBRARIES),
            lambda _: {"served.py": _BENTOML, "predicting.py": predicting},
            lambda port: [
                *("bentoml", "serve", "served:Model", "--host", "127.0.0.1"),
                *("--port", str(port)),
            ],
            "/invocations",
            body=lambda _: instances,
        ),
        Peer(
            "MLServer, parallel workers off",
            ("mlserver", "uvloop<0.22", *_LIBRARIES),
            _mlserver(predicting),
            lambda _: ["mlserver", "start", "."],
            "/v2/models/bench/infer",
            body=lambda _: _v2(rows),
        ),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frameworks", description=__doc__)
    parser.add_argument("names", nargs="*", help="servers to measure beside InService")
    parser.add_argument("--homes", type=Path, default=Path(tempfile.gettempdir()) / "peers")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=4)
    given = parser.parse_args()
    for framework, rows, file in (
        ("xgboost", [ROW], "model.json"),
        ("onnx", GRID, "model.onnx"),
    ):
        print(f"\n{framework}: requests per second of CPU, {given.connections} connections")
        ours = 0.0
        for peer in peers(framework, rows, file):
            if given.names and peer.name not in ("InService", *given.names):
                continue
            try:
                rate = _measured(peer, file, given)
            except NotHere as error:
                print(f"  {peer.name:<32} {error}")
                continue
            ours = ours or rate
            print(f"  {peer.name:<32} {rate:>8,.0f}   {ours / rate:>6.1f}")
    return 0


def _measured(peer: Peer, file: str, given: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory() as place:
        contestant = _start(peer, file, given.homes, Path(place))
        (keeper,) = contestant.processes
        try:
            _wait(contestant)
            return _rate(contestant, given)
        finally:
            keeper.terminate()
            keeper.wait()


def _start(peer: Peer, file: str, homes: Path, place: Path) -> Contestant:
    """Its models are made by our own environment: a server that is started finds them."""
    home = homes / "msgspec"
    models = place / "models"
    models.mkdir()
    if not (home / "installed").exists():
        peers("onnx", GRID, file)[0].start(homes, place / "first", b"").processes[0].terminate()
    subprocess.run([home / "bin" / "python", "-c", _MAKES], cwd=models, check=True)
    original = peer.files

    def files(port: int) -> dict[str, str]:
        written = original(port)
        directory = place / "served"
        for name in ("model.json", "model.onnx"):
            (directory / name).write_bytes((models / name).read_bytes())
        for name in [name for name in written if name.startswith("model/")]:
            del written[name]
            (directory / "model").mkdir(exist_ok=True)
            (directory / name).write_bytes((models / file).read_bytes())
        return written

    with_models = Peer(peer.name, peer.packages, files, peer.command, peer.path, peer.body)
    return with_models.start(homes, place / "served", b"")


def _wait(contestant: Contestant) -> None:
    """Until it answers as it should; raises NotHere when it does not."""
    until = time.monotonic() + READY_SECONDS
    said = "nothing"
    while time.monotonic() < until:
        if contestant.processes[0].poll() is not None:
            raise NotHere("did not start")
        try:
            connection = HTTPConnection(contestant.address, timeout=10)
            connection.request("POST", contestant.path, contestant.body, _headers(contestant))
            answer = connection.getresponse()
            said = f"{answer.status} {answer.read()[:200]!r}"
            connection.close()
            if answer.status == 200:
                return
        except OSError as error:
            said = str(error)
        time.sleep(0.2)
    raise NotHere(f"answered {said}")


def _rate(contestant: Contestant, given: argparse.Namespace) -> float:
    host, _, port = contestant.address.partition(":")
    lines = [f"POST {contestant.path} HTTP/1.1", f"Host: {contestant.address}"]
    lines += [f"{name}: {value}" for name, value in _headers(contestant).items()]
    lines.append(f"Content-Length: {len(contestant.body)}")
    wire = "\r\n".join(lines).encode() + b"\r\n\r\n" + contestant.body
    request = Request(host, int(port), wire)
    measure(request, connections=given.connections, seconds=1.0)  # until it is warm
    before = _cpu_seconds(contestant)
    result = measure(request, connections=given.connections, seconds=given.seconds)
    used = _cpu_seconds(contestant) - before
    if result.failures:
        raise NotHere(f"failed: {result.failures}")
    return len(result.latencies) / used


def _headers(contestant: Contestant) -> dict[str, str]:
    is_json = contestant.body.startswith(b"{")
    return {"Content-Type": "application/json" if is_json else "text/csv"}


def _cpu_seconds(contestant: Contestant) -> float:
    keeper = psutil.Process(contestant.processes[0].pid)
    times = [process.cpu_times() for process in keeper.children(recursive=True)]
    return sum(each.user + each.system for each in times)


if __name__ == "__main__":
    sys.exit(main())
