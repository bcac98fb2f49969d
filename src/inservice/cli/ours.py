"""InService's own API, beside AWS's: a botocore client of the service model that ships with it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from inservice.cli.target import Target

SERVICE: Final = "inservice"
"""Its name for botocore."""

ANSWER_SECONDS = 10
"""A local server that takes longer than this is not busy but stuck, and a person is waiting."""


def service_models() -> str:
    """The directory of the model, as a search path for botocore's loaders."""
    return str(files("inservice.api") / "service_models")


def client(target: Target, service: str = SERVICE) -> Any:
    """A client of a server that answers. `service` is "inservice" or one of AWS's names."""
    import botocore.config
    import botocore.session

    session = botocore.session.Session()
    session.get_component("data_loader").search_paths.append(service_models())
    return session.create_client(
        service,
        endpoint_url=target.url,
        region_name=target.region,
        aws_access_key_id=target.access_key_id,
        aws_secret_access_key=target.secret_access_key,
        config=botocore.config.Config(
            connect_timeout=3,
            read_timeout=ANSWER_SECONDS,
            retries={"total_max_attempts": 1},
        ),
    )
