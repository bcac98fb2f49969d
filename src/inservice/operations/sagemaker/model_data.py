"""Model data when a model is made: whether it is there, and its execution role may read it.

Of data in this server's own storage AWS's two refusals are given at once, as on AWS. Of data that
is elsewhere nothing is asked before an endpoint needs it: another storage may be slow, or want
credentials that the server gets only later.
"""

from __future__ import annotations

from inservice.errors import ValidationException
from inservice.hosting.model import Model
from inservice.operations.live import DataSeen
from inservice.operations.registry import Call


def check_model_data(call: Call, model: Model) -> None:
    """Raises ValidationException for data that no endpoint could load, and ServiceUnavailable."""
    for container in model.containers:
        source = container.artifact
        if source is None or not source.uri.startswith("s3://"):
            continue
        seen = call.live.data_seen(model, source)
        if seen is DataSeen.MISSING:
            raise ValidationException(f"Could not find model data at {source.uri}.")
        if seen is DataSeen.FORBIDDEN:
            raise ValidationException(_forbidden(source.uri, model))


def _forbidden(uri: str, model: Model) -> str:
    role = model.document.get("ExecutionRoleArn")
    opening = f"Could not access model data at {uri}."
    if role is None:
        return f"{opening} Please ensure that the model has an ExecutionRoleArn that may read it."
    return (
        f'{opening} Please ensure that the role "{role}" exists and that its trust relationship '
        'policy allows the action "sts:AssumeRole" for the service principal '
        '"sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and '
        f"that the object is located in {model.region}. If your Model uses multiple models or "
        'uncompressed models, please ensure that the role has "s3:ListBucket" permission.'
    )
