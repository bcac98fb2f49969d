"""The same conversation in each of CloudWatch's three protocols, spoken by botocore itself."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from tests.acceptance.cloudwatch_rig import KEY, REGION, Rig, cloudwatch

PROTOCOLS = ("smithy-rpc-v2-cbor", "json", "query")


def client_of(rig: Rig, protocol: str, path: Path) -> Any:
    """botocore, with a model that names one protocol alone: as an older or a newer SDK has it."""
    model = Loader().load_service_model("cloudwatch", "service-2")
    model["metadata"] = {**model["metadata"], "protocol": protocol, "protocols": [protocol]}
    place = path / "models" / "cloudwatch" / "2010-08-01"
    place.mkdir(parents=True)
    (place / "service-2.json").write_text(json.dumps(model))
    session = botocore.session.get_session()
    session.get_component("data_loader").search_paths.insert(0, str(path / "models"))
    return session.create_client(
        "cloudwatch",
        endpoint_url=rig.url,
        region_name=REGION,
        aws_access_key_id=KEY.id,
        aws_secret_access_key=KEY.secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_conversation(tmp_path: Path, protocol: str) -> None:
    with cloudwatch(tmp_path) as rig:
        client = client_of(rig, protocol, tmp_path)
        assert client.meta.service_model.resolved_protocol == protocol
        began = datetime.fromtimestamp(time.time() // 60 * 60, UTC)
        dimensions = [{"Name": "Stage", "Value": "prod & <test>"}]
        client.put_metric_data(
            Namespace="App",
            MetricData=[
                {
                    "MetricName": "Errors",
                    "Dimensions": dimensions,
                    "Timestamp": began,
                    "Values": [1.0, 2.5],
                    "Counts": [2.0, 1.0],
                    "Unit": "Count",
                }
            ],
        )
        client.put_metric_alarm(
            AlarmName="errors",
            Namespace="App",
            MetricName="Errors",
            Dimensions=dimensions,
            Statistic="Sum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=4.5,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            ActionsEnabled=False,
            Tags=[{"Key": "team", "Value": "a"}],
        )
        rig.deliver(began.timestamp() + 62)
        [alarm] = client.describe_alarms(AlarmNames=["errors"])["MetricAlarms"]
        assert (alarm["StateValue"], alarm["Threshold"]) == ("ALARM", 4.5)
        assert alarm["Dimensions"] == dimensions
        assert (alarm["ActionsEnabled"], alarm["OKActions"]) == (False, [])
        moved = alarm["StateUpdatedTimestamp"].timestamp()
        assert moved == pytest.approx(began.timestamp() + 62, abs=1.0)

        statistics = client.get_metric_statistics(
            Namespace="App",
            MetricName="Errors",
            Dimensions=dimensions,
            StartTime=began,
            EndTime=began + timedelta(minutes=1),
            Period=60,
            ExtendedStatistics=["p50"],
        )
        assert statistics["Datapoints"][0]["ExtendedStatistics"]["p50"] == pytest.approx(1.0)
        series = client.get_metric_data(
            MetricDataQueries=[
                {
                    "Id": "m",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "App",
                            "MetricName": "Errors",
                            "Dimensions": dimensions,
                        },
                        "Period": 60,
                        "Stat": "Sum",
                    },
                },
                {"Id": "twice", "Expression": "2 * m"},
            ],
            StartTime=began,
            EndTime=began + timedelta(minutes=1),
        )["MetricDataResults"]
        assert [(one["Id"], one["Values"], one["Timestamps"]) for one in series] == [
            ("m", [4.5], [began]),
            ("twice", [9.0], [began]),
        ]
        with pytest.raises(ClientError) as caught:
            client.set_alarm_state(AlarmName="none", StateValue="OK", StateReason="")
        assert caught.value.response["Error"]["Code"] == "ResourceNotFound"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
        with pytest.raises(ClientError) as caught:
            client.put_metric_alarm(AlarmName="bad", MetricName="m")
        assert caught.value.response["Error"]["Code"] == "ValidationError"
