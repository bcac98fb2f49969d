"""The SageMaker Python SDK, version 2, as its documentation has it, and nothing of AWS's:

    pip install 'sagemaker<3'
    inservice exec -- python examples/sdk_v2.py

Nothing here knows of InService. The SDK finds a role and a bucket by itself, uploads the model and
the code to it, deploys, predicts, updates and deletes.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.serializers import CSVSerializer
from sagemaker.sklearn import SKLearnModel

INSTANCE = {"initial_instance_count": 1, "instance_type": "ml.m5.large"}

INFERENCE = """
import json, os
import numpy as np

def model_fn(model_dir):
    with open(os.path.join(model_dir, "line.json")) as file:
        return json.load(file)

def predict_fn(data, model):
    return np.asarray(data, dtype=float).ravel() * model["slope"] + model["intercept"]

def output_fn(prediction, accept):
    return json.dumps(prediction.tolist()), "application/json"
"""


def trained(directory: Path) -> Path:
    """A model: the line through some points, packed as SageMaker wants it."""
    x = np.arange(10.0)
    slope, intercept = np.polyfit(x, 3 * x + 1, 1)
    line = directory / "line.json"
    line.write_text(json.dumps({"slope": slope, "intercept": intercept}))
    with tarfile.open(directory / "model.tar.gz", "w:gz") as tar:
        tar.add(line, line.name)
    return directory / "model.tar.gz"


def main() -> None:
    session = sagemaker.Session()
    role = sagemaker.get_execution_role(session)
    print("role", role)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "inference.py").write_text(INFERENCE)
        model_data = session.upload_data(str(trained(directory)), key_prefix="example-sdk-v2")
        print("model", model_data)
        model = SKLearnModel(
            model_data=model_data,
            role=role,
            entry_point=str(directory / "inference.py"),
            framework_version="1.2-1",
            py_version="py3",
            sagemaker_session=session,
        )
        predictor = model.deploy(
            **INSTANCE, serializer=CSVSerializer(), deserializer=JSONDeserializer()
        )
    print("endpoint", predictor.endpoint_name)
    try:
        print("predicted", predictor.predict([0, 1, 2]))
        predictor.update_endpoint(**{**INSTANCE, "initial_instance_count": 2})
        print("updated", predictor.predict([0, 1, 2]))
    finally:
        predictor.delete_model()
        predictor.delete_endpoint()
    print("deleted")


if __name__ == "__main__":
    main()
