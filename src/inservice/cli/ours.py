"""InService's own API, beside AWS's: a botocore client of the service model that ships with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import inservice
from inservice.cli.main import SERVICES
from inservice.cli.target import Target

SERVICE: Final = "inservice"
"""Its name for botocore."""

ANSWER_SECONDS = 10
"""A local server that takes longer than this is not busy but stuck, and a person is waiting."""


_NOBODY_S: Final[dict[str, Any]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, "/dev/null", None),
    "credentials_file": (None, None, "/dev/null", None),
}
"""A profile that is chosen and not there would have every client fail."""


def service_models() -> str:
    """The directory of the model, as a search path for botocore's loaders."""
    return str(Path(inservice.__file__).with_name("api") / "service_models")


def client(target: Target, service: str = SERVICE) -> Any:
    """A client of a server that answers. `service` is "inservice" or one of AWS's names.

    Nothing of the user's AWS configuration counts, nor any proxy: the target says all.
    """
    # Imported here: who only asks for the name of the service has no need of them.
    import botocore.config
    import botocore.session

    from inservice.cli.aws.loading import FastLoader

    session = botocore.session.Session(session_vars=_NOBODY_S)
    session.register_component(
        "data_loader", FastLoader([service_models()], [*SERVICES], [SERVICE])
    )
    return session.create_client(
        service,
        endpoint_url=target.url,
        region_name=target.region,
        aws_access_key_id=target.access_key_id,
        aws_secret_access_key=target.secret_access_key,
        aws_session_token=target.session_token,
        config=botocore.config.Config(
            connect_timeout=3,
            read_timeout=ANSWER_SECONDS,
            retries={"total_max_attempts": 1},
            proxies={},
        ),
    )
