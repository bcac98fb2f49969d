"""Settings of a server, and the only place that reads the environment.

Order of precedence: command line, then `INSERVICE_*` variables, then the defaults here. The
supervisor writes the settings it started with to `<run dir>/settings.json`; its children read that
file, so a process that is restarted can never come up with other settings than its siblings.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from inservice.linux import UNIX_PATH_BYTES_MAX

PORT = 7420
"""Not 8080, the port of the container contract, and not 4566, where LocalStack listens: an
emulator and InService can run side by side."""

ANY_ROLE, EXISTING_ROLES = "any", "existing"
"""Which execution roles are accepted."""

INSTALL, REFUSE = "install", "refuse"
"""What becomes of a requirements.txt that a model brings."""

ON, OFF = "on", "off"
"""Of what a server may do without."""

SOFT, ENFORCED = "soft", "enforced"
"""Beside off: how far instance types mean what they mean on AWS."""

EXCLUSIVE, SHARED = "exclusive", "shared"
"""Who sees GPUs."""
MODEL_TMP_BYTES_MIN = 1024 * 1024
"""A /tmp in which nothing could be made would be a broken host to most programs."""

RUNTIMES = ("auto", "process", "oci")
"""What runs models, as `runtimes.select` has it."""

LONGEST_SOCKET_NAME = "instances/0123456789abcdef0123.sock"
"""As `runtimes.process.records` names the socket of an instance."""


class BadSetting(Exception):
    """A setting that cannot be used; the message names it and says what would do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set about one server."""

    data_dir: Path  # records, keys, artifacts, logs; `inservice up` makes it
    host: str = "127.0.0.1"  # address to listen on
    port: int = PORT  # 0 picks a free one
    workers: int = 2  # gateway processes
    account_id: str = "000000000000"  # of the root key; 12 digits
    region: str = "us-east-1"  # of `inservice env` and the CLI; a request's own counts
    database_url: str = ""  # empty: SQLite in the data directory
    backups_kept: int = 0  # of `inservice backup DIRECTORY`: the newest so many; 0: all of them
    audit_files_kept: int = (
        10  # of the audit trail: files of 16 MiB, of changes and of denials each
    )
    body_bytes_max: int = 25 * 1024 * 1024  # AWS's guide: 25 MB for real-time endpoints
    log_bytes_max: int = 10 * 1024**3  # that clients may write with PutLogEvents, as it is kept
    drain_seconds: float = 30.0  # from SIGTERM to SIGKILL of an instance; a stop has it in all
    insecure_http: bool = False  # allows a bind that is not loopback, without TLS
    webhook_allow: str = ""  # networks that webhooks may post to; empty: all but metadata services
    oidc_jwks: str = ""  # "issuer=/file,issuer=/file": JWKS of identity providers not to be asked
    deployment_webhook: str = ""  # URL that is posted the outcome of each deployment
    model_user: str = ""  # whom models run as: a name, uid or uid:gid; empty: as nobody else
    model_tmp_bytes_max: int = 1024**3  # of the /tmp that each instance has to itself, in memory
    member_file_roots: str = ""  # "/dir:/dir": where other accounts' file:// may be; empty: none
    storage: str = ON  # whether S3 is answered here: on, or off
    storage_bytes_max: int = 0  # of objects, all accounts' together; 0: what the volume has
    s3_profile: str = ""  # of the AWS files, for artifacts alone; empty: as boto3 finds it
    execution_roles: str = "any"  # that models may name: any, or only those that are existing here
    limits: str = "off"  # what instance types are: off (counted), soft (warned of), enforced
    gpus: str = "exclusive"  # an instance sees those of its type alone; or all are shared by all
    runtime: str = "auto"  # what runs models: auto (by image), process, or oci (AWS's images, too)
    requirements: str = INSTALL  # of a model's requirements.txt: install it, or refuse the model
    image_build_timeout: float = 1800.0  # seconds that an environment may take to be built
    strict: bool = False  # refuse what would be kept without effect, as VpcConfig; else warn of it
    crash_at: str = ""  # "point:n": die at the n-th pass of a named crash point (tests)

    @property
    def run_dir(self) -> Path:
        """Where sockets and other things of this run are: short enough for UNIX sockets."""
        inside = self.data_dir / "run"
        if len(os.fsencode(inside / LONGEST_SOCKET_NAME)) <= UNIX_PATH_BYTES_MAX:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data_dir.resolve())).hexdigest()[:12]
        # Not TMPDIR: it may be as long, and it may differ between `up` and what comes later.
        return Path("/tmp") / f"inservice-{os.getuid()}-{digest}"  # noqa: S108 - private_directory

    def file_roots_of(self, account: str) -> Sequence[Path] | None:
        """Below which directories files of this host may be models of an account: the server's own
        has all that the server can read, which None stands for."""
        if account == self.account_id:
            return None
        return [Path(each) for each in self.member_file_roots.split(":") if each]

    @property
    def oidc_jwks_files(self) -> Mapping[str, Path]:
        """The files with the keys of identity providers, by issuer."""
        parts = (part.strip().partition("=") for part in self.oidc_jwks.split(","))
        return {issuer: Path(file) for issuer, _, file in parts if issuer}

    @property
    def log_dir(self) -> Path:
        """Where the server's own log and the instances' logs are."""
        return self.data_dir / "logs"

    @property
    def containers_dir(self) -> Path:
        """Where what is known of container images and registries is."""
        return self.data_dir / "containers"

    @property
    def audit_dir(self) -> Path:
        """Where the audit trail is."""
        return self.data_dir / "audit"

    @property
    def storage_dir(self) -> Path:
        """Where objects are, and the records of them."""
        return self.data_dir / "storage"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of the store."""
        return self.database_url or f"sqlite:///{self.data_dir / 'inservice.db'}"

    @property
    def endpoint_file(self) -> Path:
        """`{"url": …, "region": …}` of the server that runs here; absent when none does."""
        return self.data_dir / "endpoint.json"

    @property
    def credentials_file(self) -> Path:
        """The root access key, mode 0600, made at first start."""
        return self.data_dir / "credentials.json"

    @property
    def settings_file(self) -> Path:
        """What the children of the supervisor read."""
        return self.run_dir / "settings.json"


def default_data_dir(environment: Mapping[str, str] = os.environ) -> Path:
    """Where a server keeps its records unless `--data-dir` says otherwise."""
    chosen = environment.get("INSERVICE_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser()
    # Imported here: the processes of a server are told where by their settings.

    return Path(platformdirs.user_data_dir("inservice"))


def load(environment: Mapping[str, str] = os.environ, **chosen: object) -> Settings:
    """Settings from the environment, overruled by those of `chosen` that are not None.

    Raises BadSetting for a value that is not of its type or out of range.
    """
    settings = Settings(data_dir=default_data_dir(environment))
    values: dict[str, Any] = {}
    for field in fields(Settings):
        text = environment.get(f"INSERVICE_{field.name.upper()}")
        if text is not None and field.name != "data_dir":
            values[field.name] = _typed(field.name, text, settings)
    values.update({name: value for name, value in chosen.items() if value is not None})
    settings = replace(settings, **values)
    settings = replace(settings, data_dir=settings.data_dir.expanduser().absolute())
    return _checked(settings)


def to_document(settings: Settings) -> dict[str, object]:
    """For settings.json."""
    values = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    return {**values, "data_dir": str(settings.data_dir)}


def from_document(document: Mapping[str, object]) -> Settings:
    """The settings that `to_document` wrote."""
    values: dict[str, Any] = {**document, "data_dir": Path(str(document["data_dir"]))}
    return Settings(**values)


def _typed(name: str, text: str, settings: Settings) -> object:
    wanted = type(getattr(settings, name))
    if wanted is bool:
        return text.lower() in ("1", "true", "yes")
    try:
        return wanted(text)
    except ValueError:
        raise BadSetting(
            f"INSERVICE_{name.upper()} is {text!r}, which is not a {wanted.__name__}"
        ) from None


def _checked(settings: Settings) -> Settings:
    if not 0 <= settings.port <= 65_535:
        raise BadSetting(f"port {settings.port} is outside 0…65535")
    if not settings.insecure_http and not _is_loopback(settings.host):
        raise BadSetting(
            f"host {settings.host} is not a loopback address, and requests would cross the network "
            "unencrypted: put a TLS proxy in front of a loopback bind, or say --insecure-http"
        )
    if settings.log_bytes_max < 0:
        raise BadSetting(f"log bytes {settings.log_bytes_max} is below 0")
    if settings.storage not in (ON, OFF):
        raise BadSetting(f"storage {settings.storage!r} is neither {ON!r} nor {OFF!r}")
    if settings.model_tmp_bytes_max < MODEL_TMP_BYTES_MIN:
        raise BadSetting(
            f"model tmp bytes {settings.model_tmp_bytes_max} is below {MODEL_TMP_BYTES_MIN}"
        )
    if settings.storage_bytes_max < 0:
        raise BadSetting(f"storage bytes {settings.storage_bytes_max} is below 0")
    if settings.execution_roles not in (ANY_ROLE, EXISTING_ROLES):
        raise BadSetting(
            f"execution roles {settings.execution_roles!r} is neither {ANY_ROLE!r} nor "
            f"{EXISTING_ROLES!r}"
        )
    if settings.limits not in (OFF, SOFT, ENFORCED):
        raise BadSetting(f"limits {settings.limits!r} is none of {OFF!r}, {SOFT!r}, {ENFORCED!r}")
    if settings.gpus not in (EXCLUSIVE, SHARED):
        raise BadSetting(f"gpus {settings.gpus!r} is neither {EXCLUSIVE!r} nor {SHARED!r}")
    if settings.runtime not in RUNTIMES:
        raise BadSetting(f"runtime {settings.runtime!r} is none of {', '.join(RUNTIMES)}")
    if settings.requirements not in (INSTALL, REFUSE):
        raise BadSetting(
            f"requirements {settings.requirements!r} is neither {INSTALL!r} nor {REFUSE!r}"
        )
    if not settings.image_build_timeout > 0:
        raise BadSetting(
            f"image build timeout {settings.image_build_timeout:g} is not above 0 seconds"
        )
    if settings.backups_kept < 0:
        raise BadSetting(f"backups kept {settings.backups_kept} is below 0")
    if settings.audit_files_kept < 2:  # with one, a new file would begin with nothing before it
        raise BadSetting(f"audit files kept {settings.audit_files_kept} is below 2")
    if not 1 <= settings.workers <= 64:
        raise BadSetting(f"workers {settings.workers} is outside 1…64")
    if len(settings.account_id) != 12 or not settings.account_id.isdecimal():
        raise BadSetting(f"account id {settings.account_id!r} is not 12 digits")
    if not settings.region.replace("-", "").isalnum():
        raise BadSetting(f"region {settings.region!r} is not a region name such as us-east-1")
    for network in filter(None, (part.strip() for part in settings.webhook_allow.split(","))):
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError as error:
            raise BadSetting(f"webhook_allow: {error}") from None
    for issuer, file in settings.oidc_jwks_files.items():
        if not _is_url(issuer) or not file.is_absolute():
            raise BadSetting(
                f"oidc_jwks: {issuer}={file} is not an issuer's URL, =, and an absolute path"
            )
    for root in filter(None, settings.member_file_roots.split(":")):
        if not Path(root).is_absolute():
            raise BadSetting(f"member_file_roots: {root!r} is not an absolute path")
    if settings.deployment_webhook and not _is_url(settings.deployment_webhook):
        raise BadSetting(
            f"deployment_webhook {settings.deployment_webhook!r} is not an http or https URL"
        )
    return settings


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
