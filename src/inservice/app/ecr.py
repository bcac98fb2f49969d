"""Who asks AWS's registry for images: a token that AWS gives for the credentials of this host."""

from __future__ import annotations

import base64
import re
from typing import Final

from inservice.runtimes.base import LaunchFailed
from inservice.runtimes.logins import Login
from inservice.threads import Threads

_REGISTRY: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9-]+)\.(?P<suffix>[a-z0-9.]+)"
)
_SECONDS: Final = 10


class EcrLogin:
    """Asks AWS, with whatever credentials boto3 finds."""

    def __init__(self, profile: str) -> None:
        """`profile` is of the AWS files; "": as boto3 finds it."""
        self._profile = profile
        self._threads = Threads("ecr")

    async def find(self, registry: str) -> Login | None:
        """Who asks that registry; None of one that is not AWS's. Raises LaunchFailed, with why
        there is nobody."""
        found = _REGISTRY.fullmatch(registry)
        if found is None:
            return None
        return await self._threads.run(self._ask, found)

    def _ask(self, registry: re.Match[str]) -> Login:
        # Imported here: botocore is 200 modules, and few pull from there.
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        fips = registry["fips"] or ""
        endpoint = f"https://api.ecr{fips}.{registry['region']}.{registry['suffix']}"
        if fips:
            endpoint = f"https://ecr{fips}.{registry['region']}.{registry['suffix']}"
        limits = Config(
            connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"total_max_attempts": 2}
        )
        try:
            session = boto3.Session(profile_name=self._profile or None)
            # By its own name: AWS_ENDPOINT_URL is this server's where `inservice env` has set it.
            client = session.client(
                "ecr", region_name=registry["region"], endpoint_url=endpoint, config=limits
            )
            (token,) = client.get_authorization_token()["authorizationData"]
        except (BotoCoreError, ClientError, ValueError) as error:
            raise LaunchFailed(f"AWS gave no token for it: {error}") from error
        username, _, password = (
            base64.b64decode(token["authorizationToken"]).decode().partition(":")
        )
        return Login(username, password)
