"""The SageMaker Python SDK, version 3: the model builder, and resources as classes of their own.

    pip install 'sagemaker>=3'
    inservice exec -- python examples/sdk_v3.py

Nothing here knows of InService. The SDK finds its role, asks IAM what it may do, makes a bucket,
follows the logs of the endpoint while it waits, invokes, updates and deletes.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from pathlib import Path

from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import Endpoint, EndpointConfig
from sagemaker.core.shapes import ProductionVariant
from sagemaker.serve import ModelBuilder

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
NAME = "example-sdk-v3"

INFERENCE = """
import json, os

def model_fn(model_dir):
    with open(os.path.join(model_dir, "line.json")) as file:
        return json.load(file)

def transform_fn(model, data, content_type, accept):
    text = data.decode() if isinstance(data, bytes) else data
    answer = [model["slope"] * float(x) + model["intercept"] for x in text.split(",")]
    return json.dumps(answer), "application/json"
"""


def packed(directory: Path) -> Path:
    """A model and its code, as SageMaker wants them."""
    (directory / "line.json").write_text(json.dumps({"slope": 3, "intercept": 1}))
    (directory / "inference.py").write_text(INFERENCE)
    with tarfile.open(directory / "model.tar.gz", "w:gz") as tar:
        tar.add(directory / "line.json", "line.json")
        tar.add(directory / "inference.py", "code/inference.py")
    return directory / "model.tar.gz"


def predicted(endpoint: Endpoint) -> str:
    """The answer to a request."""
    answer = endpoint.invoke(body=b"0,1,2", content_type="text/csv")
    return answer.body.read().decode()


def main() -> None:
    session = Session()
    print("role", get_execution_role(session))
    with tempfile.TemporaryDirectory() as directory:
        model_data = session.upload_data(str(packed(Path(directory))), key_prefix=NAME)
    print("model", model_data)
    builder = ModelBuilder(
        image_uri=IMAGE,
        s3_model_data_url=model_data,
        instance_type="ml.m5.large",
        sagemaker_session=session,
    )
    model = builder.build(model_name=NAME)
    endpoint = builder.deploy(endpoint_name=NAME, initial_instance_count=1)
    print("endpoint", endpoint.endpoint_name)
    larger = f"{NAME}-larger"
    try:
        print("predicted", predicted(endpoint))
        two = ProductionVariant(
            variant_name="AllTraffic",
            model_name=NAME,
            initial_instance_count=2,
            instance_type="ml.m5.large",
        )
        EndpointConfig.create(endpoint_config_name=larger, production_variants=[two])
        endpoint.endpoint_config_name = larger
        endpoint.update()
        endpoint.wait_for_status("InService", poll=1)
        print("updated", predicted(endpoint))
    finally:
        endpoint.delete()
        endpoint.wait_for_delete(poll=1)
        for config in (NAME, larger):
            EndpointConfig.get(endpoint_config_name=config).delete()
        model.delete()
    print("deleted")


if __name__ == "__main__":
    main()
