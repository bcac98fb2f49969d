"""Every metric that InService publishes: its name, its unit, its dimensions, and what it means.

Names, units and namespaces are AWS's. Each invocation metric is published twice: for the variant,
and for the variant under one endpoint config, which is how an alarm watches the new fleet of a
deployment alone. CloudWatch never adds up over dimensions, so neither do we: they are two metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from inservice.cloudwatch.metrics.metric import Metric

INVOCATIONS_NAMESPACE = "AWS/SageMaker"
INSTANCES_NAMESPACE = "/aws/sagemaker/Endpoints"


@dataclass(frozen=True, slots=True)
class Published:
    """One metric of ours."""

    namespace: str
    unit: str
    says: str


METRICS: Mapping[str, Published] = MappingProxyType(
    {
        "Invocations": Published(
            INVOCATIONS_NAMESPACE, "None", "invocations that were sent to the variant"
        ),
        "InvocationsPerInstance": Published(
            INVOCATIONS_NAMESPACE, "None", "1/n for each invocation while n instances took traffic"
        ),
        "Invocation4XXErrors": Published(
            INVOCATIONS_NAMESPACE, "None", "1 if the model answered 4xx, else 0"
        ),
        "Invocation5XXErrors": Published(
            INVOCATIONS_NAMESPACE, "None", "1 if the model answered 5xx, else 0"
        ),
        "InvocationModelErrors": Published(
            INVOCATIONS_NAMESPACE,
            "None",
            "1 if the model did not answer 2xx, or not at all, or not in HTTP, else 0",
        ),
        "ModelLatency": Published(
            INVOCATIONS_NAMESPACE, "Microseconds", "from sending to the model to its whole answer"
        ),
        "OverheadLatency": Published(
            INVOCATIONS_NAMESPACE, "Microseconds", "the rest of the time in InService"
        ),
        "ModelSetupTime": Published(
            INVOCATIONS_NAMESPACE,
            "Microseconds",
            "from launching an instance to its first ping 200",
        ),
        "ConcurrentRequestsPerModel": Published(
            INVOCATIONS_NAMESPACE, "None", "invocations under way, per gateway worker, each second"
        ),
        "MidStreamErrors": Published(
            INVOCATIONS_NAMESPACE, "None", "1 if a stream broke after its first byte, else 0"
        ),
        "FirstChunkModelLatency": Published(
            INVOCATIONS_NAMESPACE,
            "Microseconds",
            "from sending to the model to the first byte of its stream",
        ),
        "CPUUtilization": Published(
            INSTANCES_NAMESPACE, "Percent", "of an instance, 100 for each core it keeps busy"
        ),
        "MemoryUtilization": Published(
            INSTANCES_NAMESPACE, "Percent", "of the host's memory that an instance holds"
        ),
        "GPUUtilization": Published(
            INSTANCES_NAMESPACE,
            "Percent",
            "of an instance, 100 for each GPU it keeps busy; on hosts with NVIDIA GPUs only",
        ),
        "GPUMemoryUtilization": Published(
            INSTANCES_NAMESPACE,
            "Percent",
            "of an instance, 100 for each GPU whose memory it fills; likewise",
        ),
        "DiskUtilization": Published(
            INSTANCES_NAMESPACE, "Percent", "of the disk that the instance writes to"
        ),
    }
)

ZEROES = (
    "Invocations",
    "InvocationsPerInstance",
    "Invocation4XXErrors",
    "Invocation5XXErrors",
    "InvocationModelErrors",
)
"""What is published as zero while nobody invokes: alarms have data, and scaling can go in."""


@dataclass(frozen=True, slots=True)
class VariantKey:
    """A variant of an endpoint under one endpoint config: whose metrics these are."""

    account: str
    region: str
    endpoint: str
    variant: str
    config: str

    def metrics(self, name: str) -> tuple[Metric, Metric]:
        """The metric of that name: of the variant, and of the variant under this config."""
        namespace = METRICS[name].namespace
        variant = (("EndpointName", self.endpoint), ("VariantName", self.variant))
        config = (("EndpointConfigName", self.config), *variant)
        return (
            Metric(self.account, self.region, namespace, name, variant),
            Metric(self.account, self.region, namespace, name, config),
        )


def whose(metric: Metric) -> tuple[str, str, str, str] | None:
    """(account, region, endpoint, variant) of a metric that is published here, with or without the
    name of a config among its dimensions; None of any other."""
    published = METRICS.get(metric.name)
    if published is None or published.namespace != metric.namespace:
        return None
    match metric.dimensions:
        case (("EndpointName", endpoint), ("VariantName", variant)) | (
            ("EndpointConfigName", _),
            ("EndpointName", endpoint),
            ("VariantName", variant),
        ):
            return metric.account, metric.region, endpoint, variant
    return None
