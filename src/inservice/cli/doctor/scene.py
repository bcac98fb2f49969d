"""What a client of AWS's finds here: the environment, the AWS configuration, and the server of the
data directory.

botocore is asked, and not the variables: which of them counts, against which section of which file,
is what people get wrong, and what botocore decides for boto3, the AWS CLI and the SDKs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, PartialCredentialsError
from botocore.session import Session

from inservice.cli.aws.loading import FastLoader
from inservice.cli.exec.hosts import is_aws, is_loopback, named
from inservice.cli.server import Running

SERVICES = (
    *("sagemaker", "sagemaker-runtime", "s3", "sts", "iam", "logs", "cloudwatch"),
    *("application-autoscaling", "resourcegroupstaggingapi", "ecr"),
)
"""Which services are looked at: what hosting needs."""

ANY_REGION = "us-east-1"
"""With which clients are made where no region is set: that is a finding of its own."""


@dataclass(frozen=True, slots=True)
class Key:
    """The key that clients sign with."""

    id: str
    secret: str
    token: str | None
    source: str  # botocore's word for where it is from


class Scene:
    """One environment, looked at once."""

    def __init__(
        self, environment: Mapping[str, str], running: Running | None, data_dir: Path
    ) -> None:
        self.environment = environment
        self.running = running
        self.data_dir = data_dir
        self.session = Session()
        self.session.register_component("data_loader", FastLoader([], [*SERVICES], []))
        self.broken = ""  # why no client can be made at all
        self.region = ""
        self.urls: dict[str, str] = {}  # by service, where a client of it goes
        try:
            self.region = str(self.session.get_config_variable("region") or "")
            self.urls = {name: self._url_of(name) for name in SERVICES}
        except (BotoCoreError, ValueError) as error:
            self.broken = str(error)

    def client(self, service: str, **keys: str) -> Any:
        """A client as boto3 makes one, that asks once."""
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=10)
        region = None if self.region else ANY_REGION
        make: Any = self.session.create_client
        return make(service, region_name=region, config=config, **keys)

    def _url_of(self, service: str) -> str:
        """Where a client goes, whatever it signs with."""
        key = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key"), "none")
        url: str = self.client(service, **key).meta.endpoint_url
        return url

    def leads_here(self, url: str) -> bool:
        """Whether a URL is the server's of this data directory."""
        if self.running is None:
            return False
        here, there = urlsplit(self.running.url), urlsplit(url)
        same = here.hostname == there.hostname
        both_loopback = all(is_loopback(named(each.hostname or "")) for each in (here, there))
        return (same or both_loopback) and here.port == there.port

    def leads_to_aws(self, url: str) -> bool:
        """Whether a URL is AWS's own."""
        return is_aws(named(urlsplit(url).hostname or ""))

    def is_inside_exec(self) -> bool:
        """Whether AWS's own names lead here too."""
        return "/inservice-exec-" in self.environment.get("AWS_CA_BUNDLE", "")

    def key(self) -> Key | None:
        """The key, or None where there is none. Raises BotoCoreError for one that is half there or
        cannot be had."""
        found = self.session.get_credentials()
        if found is None:
            return None
        frozen = found.get_frozen_credentials()
        if not frozen.access_key or not frozen.secret_key:
            raise PartialCredentialsError(provider=found.method, cred_var="secret_access_key")
        return Key(frozen.access_key, frozen.secret_key, frozen.token, str(found.method))
