"""Each framework's own way to serve the model: what to install, what to write, how to start it.

The model is the sum of each row of `{"instances": [[…]]}`. Each is served by one worker, through
the production path that its own documentation shows, with access logs off.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from benchmarks.end_to_end import multi_model_server, ray_serve
from benchmarks.end_to_end.peer import Peer, free_port

_FASTAPI = """
from fastapi import FastAPI
from pydantic import BaseModel


class Payload(BaseModel):
    instances: list[list[float]]


app = FastAPI()


@app.post("/invocations")
async def invocations(payload: Payload) -> dict[str, list[float]]:
    return {"predictions": [sum(row) for row in payload.instances]}
"""

_MOSEC = """
from mosec import Server, Worker


class Model(Worker):
    def forward(self, data: dict) -> dict:
        return {"predictions": [sum(row) for row in data["instances"]]}


if __name__ == "__main__":
    server = Server()
    server.append_worker(Model, num=1)
    server.run()
"""

_LITSERVE = """
import sys

import litserve


class Model(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request["instances"]

    def predict(self, rows):
        return [sum(row) for row in rows]

    def encode_response(self, output):
        return {"predictions": output}


if __name__ == "__main__":
    server = litserve.LitServer(Model(), accelerator="cpu")
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
"""

_BENTOML = """
import bentoml


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Model:
    @bentoml.api
    def invocations(self, instances: list[list[float]]) -> dict[str, list[float]]:
        return {"predictions": [sum(row) for row in instances]}
"""

_MLSERVER = """
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Model(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        total = sum(payload.inputs[0].data)
        output = ResponseOutput(name="predictions", shape=[1], datatype="FP64", data=[total])
        return InferenceResponse(model_name=self.name, outputs=[output])
"""


def _mlserver(parallel_workers: int) -> Callable[[int], dict[str, str]]:
    def files(port: int) -> dict[str, str]:
        settings = {
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": parallel_workers,
            "debug": False,
        }
        model = {"name": "bench", "implementation": "served.Model"}
        return {
            "served.py": _MLSERVER,
            "settings.json": json.dumps(settings),
            "model-settings.json": json.dumps(model),
        }

    return files


def _v2(body: bytes) -> bytes:
    """The same numbers in the V2 inference protocol, the only one that MLServer speaks."""
    (row,) = json.loads(body)["instances"]
    tensor = {"name": "x", "shape": [1, len(row)], "datatype": "FP64", "data": row}
    return json.dumps({"inputs": [tensor]}).encode()


_MLSERVER_PACKAGES = ("mlserver", "uvloop<0.22")
"""With a newer uvloop its parallel workers do not start: they ask for a loop that is not there."""

PEERS = (
    Peer(
        "FastAPI + uvicorn",
        ("fastapi", "uvicorn[standard]"),
        lambda _: {"served.py": _FASTAPI},
        lambda port: [
            *("uvicorn", "served:app", "--host", "127.0.0.1", "--port", str(port)),
            *("--workers", "1", "--no-access-log", "--log-level", "warning"),
        ],
        "/invocations",
    ),
    Peer(
        "mosec",
        ("mosec",),
        lambda _: {"served.py": _MOSEC},
        lambda port: ["python", "served.py", "--address", "127.0.0.1", "--port", str(port)],
        "/inference",
    ),
    Peer(
        "LitServe",
        ("litserve",),
        lambda _: {"served.py": _LITSERVE},
        lambda port: ["python", "served.py", str(port)],
        "/predict",
    ),
    Peer(
        "BentoML",
        ("bentoml",),
        lambda _: {"served.py": _BENTOML},
        lambda port: [
            *("bentoml", "serve", "served:Model", "--host", "127.0.0.1"),
            *("--port", str(port)),
        ],
        "/invocations",
    ),
    Peer(
        "MLServer",
        _MLSERVER_PACKAGES,
        _mlserver(1),
        lambda _: ["mlserver", "start", "."],
        "/v2/models/bench/infer",
        body=_v2,
    ),
    Peer(
        "MLServer, parallel workers off",
        _MLSERVER_PACKAGES,
        _mlserver(0),
        lambda _: ["mlserver", "start", "."],
        "/v2/models/bench/infer",
        body=_v2,
    ),
    *ray_serve.PEERS,
    multi_model_server.PEER,
)
