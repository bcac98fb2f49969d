"""A botocore session that behaves as the AWS CLI's, and loads its models fast (`loading`).

What differs from a plain botocore session: where the settings come from (AWS_REGION, AWS_PAGER,
`cli_*` keys of the profile), how timestamps and blobs of a reply are kept, and the loader.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, Final

import botocore.session
from botocore.client import BaseClient
from botocore.config import Config
from botocore.configprovider import (
    BaseProvider,
    ChainProvider,
    ConstantProvider,
    EnvironmentProvider,
    InstanceVarProvider,
    ScopedConfigProvider,
)
from botocore.exceptions import ProfileNotFound

import inservice
from inservice.cli import ours
from inservice.cli.aws.failures import NotConfigured
from inservice.cli.aws.globals import BINARY_FORMATS, Globals
from inservice.cli.aws.loading import FastLoader
from inservice.cli.aws.pager import DEFAULT_PAGER
from inservice.cli.aws.warned import say_warnings
from inservice.cli.main import SERVICES
from inservice.cli.target import Target, find_target

_LOG_FORMAT: Final = "%(asctime)s - %(threadName)s - %(name)s - %(levelname)s - %(message)s"


_CREDENTIAL_SERVICES: Final = ("sso", "sso-oidc", "signin")
"""Services that botocore itself calls to obtain a profile's credentials."""


class Session:
    """What a command needs of botocore: settings, models, clients."""

    def __init__(self, options: Globals) -> None:
        self._options = options
        self._botocore = session = botocore.session.Session(
            session_vars={
                # (key in the profile, environment variable, default, conversion)
                "profile": (None, ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"], None, None),
                "cli_binary_format": ("cli_binary_format", None, "base64", None),
                "cli_auto_prompt": ("cli_auto_prompt", "AWS_CLI_AUTO_PROMPT", "off", None),
                "cli_timestamp_format": ("cli_timestamp_format", None, "iso8601", None),
            }
        )
        extra_paths = session.get_config_variable("data_path")
        own_paths = extra_paths.split(os.pathsep) if extra_paths else []
        self._loader = FastLoader(
            [*own_paths, ours.service_models()], [*SERVICES, *_CREDENTIAL_SERVICES], [ours.SERVICE]
        )
        session.register_component("data_loader", self._loader)
        session.user_agent_name = "inservice-cli"
        session.user_agent_version = inservice.__version__
        if options.profile:
            session.set_config_variable("profile", options.profile)
        if options.region:
            session.set_config_variable("region", options.region)
        self._set_settings()
        if options.debug:
            write_log_to_stderr()

    def _set_settings(self) -> None:
        session = self._botocore
        settings = session.get_component("config_store")
        settings.set_config_provider(
            "region",
            ChainProvider(
                [
                    InstanceVarProvider("region", session),
                    EnvironmentProvider("AWS_REGION", os.environ),
                    EnvironmentProvider("AWS_DEFAULT_REGION", os.environ),
                    ScopedConfigProvider("region", session),
                    _InstanceRegion(session),
                ]
            ),
        )
        settings.set_config_provider(
            "output",
            ChainProvider(
                [
                    EnvironmentProvider("AWS_DEFAULT_OUTPUT", os.environ),
                    ScopedConfigProvider("output", session),
                    ConstantProvider("json"),
                ]
            ),
        )
        settings.set_config_provider(
            "pager",
            ChainProvider(
                [
                    EnvironmentProvider("AWS_PAGER", os.environ),
                    ScopedConfigProvider("cli_pager", session),
                    EnvironmentProvider("PAGER", os.environ),
                    ConstantProvider(DEFAULT_PAGER),
                ]
            ),
        )

    def setting(self, name: str) -> Any:
        """A setting, from the option, the environment or the profile, in AWS's order."""
        return self._botocore.get_config_variable(name)

    @property
    def output(self) -> str:
        """The output format."""
        return str(self._options.output or self.setting("output"))

    @property
    def pager(self) -> str | None:
        """The pager's command line; None or empty when output goes straight out."""
        if self._options.no_cli_pager:
            return None
        pager = self.setting("pager")
        return None if pager is None else str(pager)

    @property
    def binary_format(self) -> str:
        """How blobs are written on the command line. Raises ValueError for no such way."""
        if self._options.binary_format:
            return self._options.binary_format
        try:
            written = str(self.setting("cli_binary_format"))
        except ProfileNotFound:
            return "base64"
        if written not in BINARY_FORMATS:
            raise ValueError(
                f"Unknown cli_binary_format value: {written}, "
                f"valid values are {' and '.join(BINARY_FORMATS)}"
            )
        return written

    def auto_prompt(self) -> str:
        """`on`, `on-partial` or `off`."""
        try:
            return str(self.setting("cli_auto_prompt")).lower()
        except ProfileNotFound:
            return "off"

    def service_model(self, service: str) -> Any:
        """The botocore service model."""
        return self._botocore.get_service_model(service)

    def waiter_model(self, service: str) -> Any:
        """The botocore waiter model. Raises DataNotFoundError when the service has none."""
        return self._botocore.get_waiter_model(service)

    def paginator_model(self, service: str) -> Any:
        """The botocore paginator model. Raises DataNotFoundError when the service has none."""
        return self._botocore.get_paginator_model(service)

    def client(
        self,
        service: str,
        command: str,
        *,
        operation: str | None = None,
        tries_max: int | None = None,
    ) -> BaseClient:
        """A client for the service, at InService or wherever the user pointed.

        `command` goes into the User-Agent. With `operation` the client has that one alone.
        `tries_max` wins over what the user has configured.
        Raises NotConfigured when there is nowhere to go.
        """
        options = self._options
        self._loader.only = operation
        self._keep_wire_values()
        self._botocore.user_agent_extra = f"command/{command}"
        config = Config(
            read_timeout=options.read_timeout_seconds,
            connect_timeout=options.connect_timeout_seconds,
        )
        if tries_max is not None:
            config = config.merge(Config(retries={"total_max_attempts": tries_max}))
        if not options.sign_request:
            from botocore import UNSIGNED

            config = config.merge(Config(signature_version=UNSIGNED))
        target = find_target(
            data_dir=options.data_dir,
            endpoint_url=options.endpoint_url,
            profile=options.profile,
        )
        client = self._botocore.create_client(
            service,
            verify=options.verify,
            config=config,
            **_where(target, options),
        )
        client.meta.events.register("after-call", say_warnings)
        return client

    def stubbed_client(self, service: str) -> BaseClient:
        """A client that validates parameters and is never asked to send anything."""
        self._keep_wire_values()
        options = self._options
        return self._botocore.create_client(
            service,
            region_name=options.region or self.setting("region") or "us-east-1",
            aws_access_key_id="unused",
            aws_secret_access_key="unused",  # noqa: S106
        )

    def _keep_wire_values(self) -> None:
        """Keep base64 as text; write timestamps as the profile's `cli_timestamp_format` says."""
        try:
            written = self.setting("cli_timestamp_format")
        except ProfileNotFound:
            written = "iso8601"
        if written not in ("iso8601", "wire"):
            raise NotConfigured(
                f"Unknown cli_timestamp_format value: {written}, "
                'valid values are "wire" or "iso8601"'
            )
        factory = self._botocore.get_component("response_parser_factory")
        factory.set_parser_defaults(
            timestamp_parser=_as_sent if written == "wire" else _as_iso8601,
            blob_parser=_as_base64,
        )


class _InstanceRegion(BaseProvider):
    """The region of the EC2 instance that this runs on; asked last, since it takes a request."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def provide(self) -> str | None:
        from botocore.utils import IMDSRegionProvider

        region = IMDSRegionProvider(self._session).provide()
        return None if region is None else str(region)


def _where(target: Target | None, options: Globals) -> dict[str, Any]:
    if target is None:
        return {"region_name": options.region, "endpoint_url": options.endpoint_url}
    return {
        "region_name": options.region or target.region,
        "endpoint_url": target.url,
        "aws_access_key_id": target.access_key_id,
        "aws_secret_access_key": target.secret_access_key,
    }


def _as_sent(value: Any) -> Any:
    return value


def _as_iso8601(value: Any) -> str:
    from botocore.utils import parse_timestamp

    return str(parse_timestamp(value).isoformat())


def _as_base64(value: Any) -> Any:
    if isinstance(value, bytes):
        # CBOR carries bytes where JSON carries base64; what is shown is the same.
        from base64 import b64encode

        return b64encode(value).decode("ascii")
    return value


def write_log_to_stderr() -> None:
    """Log everything, as `--debug` asks."""
    sink = logging.StreamHandler(sys.stderr)
    sink.setFormatter(logging.Formatter(_LOG_FORMAT))
    for name in ("botocore", "inservice", "urllib3"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.DEBUG)
        logger.addHandler(sink)
