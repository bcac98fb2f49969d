"""MLflow's deployments to SageMaker, `mlflow deployments -t sagemaker`, as they are:

    pip install mlflow boto3
    inservice exec -- python examples/mlflow_sagemaker.py

MLflow asks for its own image, which somebody would have pushed to ECR; there is no registry here,
so the image is one that this server stands in for. How to predict is code that goes with the model.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
from mlflow.deployments import get_deploy_client

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
NAME = "example-mlflow"

INFERENCE = """
import json, os

def model_fn(model_dir):
    with open(os.path.join(model_dir, "artifacts", "line.json")) as file:
        return json.load(file)

def transform_fn(model, data, content_type, accept):
    rows = json.loads(data)["dataframe_split"]["data"]
    answer = [model["slope"] * float(row[0]) + model["intercept"] for row in rows]
    return json.dumps({"predictions": answer}), "application/json"
"""


class Line(mlflow.pyfunc.PythonModel):
    """A line, whose slope is in a file."""

    def predict(self, context: object, model_input: pd.DataFrame) -> pd.Series:  # noqa: ARG002
        """For who loads the model with MLflow; SageMaker's container has code of its own."""
        return model_input.iloc[:, 0]


def saved(directory: Path) -> Path:
    """A model of MLflow's, with the code of the container beside it."""
    (directory / "line.json").write_text(json.dumps({"slope": 3, "intercept": 1}))
    (directory / "inference.py").write_text(INFERENCE)
    mlflow.pyfunc.save_model(
        path=str(directory / "model"),
        python_model=Line(),
        artifacts={"line": str(directory / "line.json")},
        code_paths=[str(directory / "inference.py")],
        pip_requirements=[],
    )
    return directory / "model"


def main() -> None:
    os.environ["MLFLOW_SAGEMAKER_DEPLOY_IMG_URL"] = IMAGE
    client = get_deploy_client("sagemaker:/us-east-1")
    with tempfile.TemporaryDirectory() as name:
        client.create_deployment(
            name=NAME,
            model_uri=str(saved(Path(name))),
            flavor="python_function",
            config={"instance_type": "ml.m5.large", "instance_count": 1},
        )
    print("deployed", client.get_deployment(NAME)["EndpointStatus"])
    frame = pd.DataFrame({"x": [0.0, 1.0, 2.0]})
    print("predicted", client.predict(NAME, frame))
    client.delete_deployment(NAME, config={"archive": False})
    print("deleted", [each["EndpointName"] for each in client.list_deployments()])


if __name__ == "__main__":
    main()
