"""What runs instances on this host: processes, and containers."""

from __future__ import annotations

from dataclasses import dataclass

from inservice.app.ecr import EcrLogin
from inservice.config import ENFORCED, Settings
from inservice.images.base import Images, NoImages
from inservice.runtimes.base import Assets, Environments
from inservice.runtimes.oci.engine import Engine
from inservice.runtimes.oci.runtime import OciRuntime
from inservice.runtimes.process.runtime import ProcessRuntime
from inservice.runtimes.select import SelectedRuntime


@dataclass(frozen=True, slots=True)
class HostRuntimes:
    """The runtimes of one server."""

    processes: ProcessRuntime
    containers: OciRuntime
    engine: Engine
    selected: SelectedRuntime  # of the two, by the image


def host_runtimes(
    settings: Settings,
    assets: Assets | None = None,
    images: Images | None = None,
    environments: Environments | None = None,
) -> HostRuntimes:
    """Those that a server of these settings has; with nothing but them, to end what it started."""
    log_dir = settings.log_dir / "endpoints"
    processes = ProcessRuntime(
        settings.run_dir,
        log_dir,
        images=images,
        environments=environments,
        assets=assets,
        user=settings.model_user,
        hidden=[settings.data_dir],
        limits=settings.limits == ENFORCED,
        tmp_bytes=settings.model_tmp_bytes_max,
    )
    engine = Engine(settings.run_dir)
    containers = OciRuntime(
        settings.run_dir,
        settings.containers_dir,
        log_dir,
        engine=engine,
        assets=assets,
        registry_login=EcrLogin(settings.s3_profile).find,
    )
    selected = SelectedRuntime(images or NoImages(), processes, containers, settings.runtime)
    return HostRuntimes(processes, containers, engine, selected)
