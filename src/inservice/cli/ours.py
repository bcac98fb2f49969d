"""InService's own API, beside AWS's: a botocore client of the service model that ships with it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from inservice.cli.server import Running

ANSWER_SECONDS = 10
"""A local server that takes longer than this is not busy but stuck, and a person is waiting."""


def client(running: Running, service: str = "inservice") -> Any:
    """A client of a server that answers. `service` is "inservice" or one of AWS's names."""
    import botocore.config
    import botocore.session

    session = botocore.session.Session()
    models = str(files("inservice.api") / "service_models")
    session.get_component("data_loader").search_paths.append(models)
    return session.create_client(
        service,
        endpoint_url=running.url,
        region_name=running.region,
        aws_access_key_id=running.access_key_id,
        aws_secret_access_key=running.secret_access_key,
        config=botocore.config.Config(
            connect_timeout=3,
            read_timeout=ANSWER_SECONDS,
            retries={"total_max_attempts": 1},
        ),
    )
