"""multi-model-server with SageMaker's inference toolkit: what its containers start.

`sagemaker_inference.model_server` writes its configuration to /etc and listens on all interfaces;
here the command that it composes is given the same configuration, on loopback and with one worker.
"""

from __future__ import annotations

from benchmarks.end_to_end.peer import Peer

_INFERENCE = """
import json


def model_fn(model_dir):
    return None


def input_fn(data, content_type):
    return json.loads(data)["instances"]


def predict_fn(rows, model):
    return {"predictions": [sum(row) for row in rows]}
"""

_PROPERTIES = """
enable_envvars_config=true
decode_input_request=false
load_models=ALL
default_response_timeout=60
default_workers_per_model=1
default_service_handler=sagemaker_inference.default_handler_service
inference_address=http://127.0.0.1:{port}
management_address=http://127.0.0.1:{port}
vmargs=-XX:-UseContainerSupport
"""

_LOG = """<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
    <Appenders><Console name="STDOUT" target="SYSTEM_OUT"/></Appenders>
    <Loggers>
        <Logger name="ACCESS_LOG" level="off"/>
        <Root level="warn"><AppenderRef ref="STDOUT"/></Root>
    </Loggers>
</Configuration>
"""

_START = """
export SAGEMAKER_BASE_DIR="$PWD" PYTHONPATH="$PWD/model/code" TMPDIR="$PWD" TEMP="$PWD"
exec multi-model-server --start --foreground --model-store / --models "model=$PWD/model" \\
    --mms-config mms.properties --log-config log4j2.xml
"""

PEER = Peer(
    "multi-model-server, sagemaker-inference",
    ("multi-model-server", "sagemaker-inference"),
    lambda port: {
        "model/code/inference.py": _INFERENCE,
        "mms.properties": _PROPERTIES.format(port=port),
        "log4j2.xml": _LOG,
        "start.sh": _START,
    },
    lambda _: ["sh", "start.sh"],
    "/invocations",
    needs=("java",),
)
