"""Each test names the documented fact that it proves; the words are ours, the numbers AWS's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.core.deployment.makers import config_of, models_of

from inservice.deployment.calls.begin import (
    INSTANCES_MAX,
    begin_create,
    begin_delete,
    begin_update,
    begin_update_weights_and_capacities,
)
from inservice.deployment.plan import Doing, Plan, Step
from inservice.deployment.policy import (
    CapacitySize,
    CapacitySizeType,
    Rolling,
    alarm_names,
    policy_of,
)
from inservice.deployment.state import Decision
from inservice.errors import NotImplementedYet, ResourceLimitExceeded, ValidationException
from inservice.hosting.endpoint import EndpointStatus

COUNT, PERCENT = "INSTANCE_COUNT", "CAPACITY_PERCENT"


def size(kind: str, value: int) -> dict[str, Any]:
    return {"Type": kind, "Value": value}


def blue_green(kind: str, wait: int = 0, **members: Any) -> dict[str, Any]:
    traffic = {"Type": kind, "WaitIntervalInSeconds": wait}
    for member in ("CanarySize", "LinearStepSize"):
        if member in members:
            traffic[member] = members.pop(member)
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic, **members}}


def rolling(batch: dict[str, Any], wait: int = 0, **members: Any) -> dict[str, Any]:
    policy = {"MaximumBatchSize": batch, "WaitIntervalInSeconds": wait, **members}
    return {"RollingUpdatePolicy": policy}


def serving(instances: int = 4, variants: int = 1) -> Decision:
    """An endpoint that is InService, as if its creation had ended."""
    config = config_of("old", {f"v{n}": (instances, 1) for n in range(variants)})
    begun = begin_create(
        config, models_of(config), name="e", arn="arn:e", generation="g", alarms={}, now=0.0
    )
    endpoint = replace(
        begun.endpoint, status=EndpointStatus.IN_SERVICE, fleets=begun.deployment.new
    )
    step = begun.deployment.plan[-1]
    deployment = replace(
        begun.deployment, row=1, shares=step.shares, sizes=step.sizes, ended_at=1.0
    )
    return Decision(endpoint, deployment)


def updated(
    document: dict[str, Any] | None, *, old: int = 4, new: int = 4, variants: int = 1, **kwargs: Any
) -> Decision:
    """UpdateEndpoint of an endpoint that is InService."""
    now = serving(old, variants)
    config = config_of("new", {f"v{n}": (new, 1) for n in range(variants)})
    kwargs.setdefault("alarms", {})
    return begin_update(
        now.endpoint,
        now.deployment,
        config,
        models_of(config),
        deployment_config=document,
        now=1.0,
        **kwargs,
    )


def shares_of_new(plan: Plan) -> list[int]:
    """Basis points of the new fleet after each shift."""
    shifts = [step for step in plan if step.doing is Doing.SHIFTING]
    return [share for step in shifts for f, share in step.shares.items() if f.startswith("g-2-")]


def doing(plan: Plan) -> list[str]:
    return [step.doing.value for step in plan]


def bakes(plan: Plan) -> list[tuple[str, int]]:
    return [(step.hold_name, step.hold_seconds) for step in plan if step.doing is Doing.BAKING]


def new_size(step: Step) -> int:
    return sum(want.size for want in step.wants if want.fleet.startswith("g-2-"))


def old_size(step: Step) -> int:
    return sum(want.size for want in step.wants if want.fleet.startswith("g-1-"))


class TestStepSequences:
    """The sequences of the four strategies in the deployment guardrails guide."""

    def test_without_a_policy_it_is_all_at_once_without_a_bake(self) -> None:
        plan = updated(None).deployment.plan
        assert doing(plan) == ["Creating", "ActivatingTraffic", "Deleting"]
        assert shares_of_new(plan) == [10_000]

    def test_all_at_once_bakes_the_termination_wait_only(self) -> None:
        """WaitIntervalInSeconds is required by the shape and used by no step."""
        plan = updated(blue_green("ALL_AT_ONCE", 77, TerminationWaitInSeconds=60)).deployment.plan
        assert bakes(plan) == [("TerminationWaitInSeconds", 60)]

    def test_canary_provisions_the_whole_new_fleet_first(self) -> None:
        plan = updated(blue_green("CANARY", 5, CanarySize=size(COUNT, 1))).deployment.plan
        assert new_size(plan[0]) == 4
        assert plan[0].doing is Doing.CREATING
        assert shares_of_new(plan) == [2_500, 10_000]

    def test_canary_bakes_the_interval_and_then_the_termination_wait(self) -> None:
        document = blue_green("CANARY", 5, CanarySize=size(COUNT, 1), TerminationWaitInSeconds=7)
        assert bakes(updated(document).deployment.plan) == [
            ("WaitIntervalInSeconds", 5),
            ("TerminationWaitInSeconds", 7),
        ]

    def test_33_percent_of_3_instances_is_one(self) -> None:
        """AWS's notebooks comment on it: 0.99 becomes 1, so a linear update has three steps."""
        document = blue_green("LINEAR", 5, LinearStepSize=size(PERCENT, 33))
        plan = updated(document, old=3, new=3).deployment.plan
        assert shares_of_new(plan) == [3_333, 6_667, 10_000]

    def test_the_last_linear_step_takes_the_remainder_and_bakes_the_termination_wait_only(
        self,
    ) -> None:
        document = blue_green(
            "LINEAR", 5, LinearStepSize=size(COUNT, 2), TerminationWaitInSeconds=7
        )
        plan = updated(document, new=5).deployment.plan
        assert shares_of_new(plan) == [4_000, 8_000, 10_000]
        assert [seconds for _, seconds in bakes(plan)] == [5, 5, 7]

    def test_blue_is_whole_until_the_last_row(self) -> None:
        """So a rollback of blue/green is a flip of the routing."""
        document = blue_green("LINEAR", 5, LinearStepSize=size(PERCENT, 25))
        plan = updated(document).deployment.plan
        assert [old_size(step) for step in plan] == [4] * (len(plan) - 1) + [0]

    def test_rolling_needs_one_batch_of_extra_capacity(self) -> None:
        plan = updated(rolling(size(COUNT, 1), 5)).deployment.plan
        assert max(old_size(step) + new_size(step) for step in plan) == 5

    def test_rolling_stops_a_batch_only_after_its_bake(self) -> None:
        plan = updated(rolling(size(COUNT, 2), 5)).deployment.plan
        assert doing(plan) == ["Creating", "ActivatingTraffic", "Baking", "Deleting"] * 2
        assert [old_size(step) for step in plan] == [4, 4, 4, 2, 2, 2, 2, 0]

    def test_one_instance_by_percentage_degrades_to_all_at_once_with_baking(self) -> None:
        for kind, member in (("CANARY", "CanarySize"), ("LINEAR", "LinearStepSize")):
            document = blue_green(kind, 5, **{member: size(PERCENT, 10)})
            plan = updated(document, old=1, new=1).deployment.plan
            assert shares_of_new(plan) == [10_000]
            assert bakes(plan) == [("WaitIntervalInSeconds", 5)]


class TestValueRules:
    """Refused at the call, with a message that names the member."""

    @pytest.mark.parametrize(
        ("document", "member"),
        [
            (blue_green("CANARY", CanarySize=size(PERCENT, 51)), "CanarySize"),
            (blue_green("CANARY", CanarySize=size(COUNT, 3)), "CanarySize"),
            (blue_green("CANARY", CanarySize=size(COUNT, 0)), "CanarySize.Value"),
            (blue_green("CANARY"), "CanarySize is required"),
            (blue_green("LINEAR"), "LinearStepSize is required"),
            (blue_green("LINEAR", LinearStepSize=size(PERCENT, 9)), "LinearStepSize"),
            (blue_green("LINEAR", LinearStepSize=size(PERCENT, 51)), "LinearStepSize"),
            (blue_green("LINEAR", LinearStepSize=size(COUNT, 3)), "LinearStepSize"),
            (blue_green("ALL_AT_ONCE", CanarySize=size(PERCENT, 10)), "CanarySize cannot"),
            (
                blue_green("CANARY", CanarySize=size(COUNT, 1), LinearStepSize=size(COUNT, 1)),
                "LinearStepSize cannot",
            ),
            (blue_green("SIDEWAYS"), "TrafficRoutingConfiguration.Type"),
            (blue_green("CANARY", CanarySize=size("FURLONGS", 1)), "CanarySize.Type"),
            (blue_green("ALL_AT_ONCE", 3_601), "WaitIntervalInSeconds"),
            (blue_green("ALL_AT_ONCE", TerminationWaitInSeconds=3_601), "TerminationWait"),
            (blue_green("ALL_AT_ONCE", MaximumExecutionTimeoutInSeconds=599), "MaximumExec"),
            (blue_green("ALL_AT_ONCE", MaximumExecutionTimeoutInSeconds=28_801), "MaximumExec"),
            (
                {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "CANARY"}}},
                "WaitIntervalInSeconds is required",
            ),
            ({"BlueGreenUpdatePolicy": {}}, "TrafficRoutingConfiguration is required"),
            (rolling(size(PERCENT, 4)), "MaximumBatchSize"),
            (rolling(size(PERCENT, 51)), "MaximumBatchSize"),
            (rolling(size(COUNT, 3)), "MaximumBatchSize"),
            (
                rolling(size(COUNT, 1), RollbackMaximumBatchSize=size(PERCENT, 101)),
                "RollbackMaximumBatchSize",
            ),
            (
                rolling(size(COUNT, 1), RollbackMaximumBatchSize=size(COUNT, 5)),
                "RollbackMaximumBatchSize",
            ),
            ({**blue_green("ALL_AT_ONCE"), **rolling(size(COUNT, 1))}, "only one of"),
            ({"AutoRollbackConfiguration": {"Alarms": []}}, "Alarms"),
            ({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": " "}]}}, "AlarmName"),
            (
                {
                    "AutoRollbackConfiguration": {
                        "Alarms": [{"AlarmName": f"{n}"} for n in range(11)]
                    }
                },
                "1 to 10 alarms",
            ),
        ],
    )
    def test_refused(self, document: dict[str, Any], member: str) -> None:
        with pytest.raises(ValidationException, match=member):
            updated(document)

    def test_a_count_on_one_instance_is_over_half_and_refused(self) -> None:
        with pytest.raises(ValidationException, match="CanarySize"):
            updated(blue_green("CANARY", CanarySize=size(COUNT, 1)), old=1, new=1)

    def test_the_timeout_must_exceed_all_waits_together(self) -> None:
        document = blue_green(
            "LINEAR",
            200,
            LinearStepSize=size(PERCENT, 25),
            MaximumExecutionTimeoutInSeconds=600,
        )
        with pytest.raises(ValidationException, match=r"MaximumExecutionTimeoutInSeconds \(600\)"):
            updated(document)

    def test_rolling_excludes_several_variants(self) -> None:
        with pytest.raises(ValidationException, match="RollingUpdatePolicy"):
            updated(rolling(size(COUNT, 1)), variants=2)

    def test_rollback_batch_defaults_to_all_at_once(self) -> None:
        policy = policy_of(rolling(size(COUNT, 1)))
        assert isinstance(policy, Rolling)
        assert policy.rollback_batch is None

    def test_no_member_of_deployment_config_is_required(self) -> None:
        assert updated({}).deployment.strategy == "all at once"
        alone = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}}
        assert updated(alone, alarms={"errors": "OK"}).deployment.alarms == ("errors",)

    def test_an_alarm_must_exist(self) -> None:
        alone = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}}
        with pytest.raises(ValidationException, match="could not find alarm 'errors'"):
            updated(alone)

    def test_an_alarm_named_twice_is_one(self) -> None:
        twice = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}, {"AlarmName": "a"}]}}
        assert alarm_names(twice) == ("a",)

    def test_half_of_three_by_percentage_is_one_since_two_would_be_more_than_half(self) -> None:
        assert CapacitySize(CapacitySizeType.CAPACITY_PERCENT, 50).instances(3, 50) == 1


class TestCalls:
    """What each call does to an endpoint in each status, in AWS's words where they are known."""

    IN_PROGRESS = 'Cannot update in-progress endpoint "arn:e".'

    @pytest.mark.parametrize(
        "status",
        [
            EndpointStatus.CREATING,
            EndpointStatus.UPDATING,
            EndpointStatus.ROLLING_BACK,
            EndpointStatus.SYSTEM_UPDATING,
            EndpointStatus.DELETING,
        ],
    )
    def test_in_progress_refuses_every_change_and_says_update(self, status: EndpointStatus) -> None:
        now = serving()
        endpoint = replace(now.endpoint, status=status)
        config = config_of("new", {"v0": (1, 1)})
        calls: tuple[Callable[[], object], ...] = (
            lambda: begin_delete(endpoint, now.deployment, now=1.0),
            lambda: begin_update_weights_and_capacities(endpoint, now.deployment, [], now=1.0),
            lambda: begin_update(
                endpoint, now.deployment, config, models_of(config), alarms={}, now=1.0
            ),
        )
        for call in calls:
            with pytest.raises(ValidationException) as refused:
                call()
            assert refused.value.message == self.IN_PROGRESS

    def test_a_failed_endpoint_can_only_be_deleted(self) -> None:
        now = serving()
        endpoint = replace(now.endpoint, status=EndpointStatus.FAILED)
        config = config_of("new", {"v0": (1, 1)})
        with pytest.raises(ValidationException, match="Failed"):
            begin_update(endpoint, now.deployment, config, models_of(config), alarms={}, now=1.0)
        deleting = begin_delete(endpoint, now.deployment, now=1.0)
        assert deleting.endpoint.status is EndpointStatus.DELETING

    def test_the_config_that_serves_is_refused(self) -> None:
        now = serving()
        config = now.endpoint.config
        with pytest.raises(ValidationException, match="uses it already"):
            begin_update(
                now.endpoint, now.deployment, config, models_of(config), alarms={}, now=1.0
            )

    @pytest.mark.parametrize("later", [0.0, 1.0], ids=["at once, but another", "the same, later"])
    def test_a_config_of_the_name_of_the_one_that_serves_is_another(self, later: float) -> None:
        """Who deletes a config and makes it again means what it says now."""
        now = serving()
        old = now.endpoint.config
        document = old.document if later else {**old.document, "KmsKeyId": "k"}
        config = replace(old, created_at=old.created_at + later, document=document)
        begun = begin_update(
            now.endpoint, now.deployment, config, models_of(config), alarms={}, now=2.0
        )
        assert begun.endpoint.status is EndpointStatus.UPDATING
        assert {f.id for f in begun.deployment.new}.isdisjoint(f.id for f in now.endpoint.fleets)

    def test_a_rollback_failed_endpoint_may_go_to_any_config(self) -> None:
        now = serving()
        endpoint = replace(now.endpoint, status=EndpointStatus.UPDATE_ROLLBACK_FAILED)
        config = config_of("old", {"v0": (4, 1)})
        begun = begin_update(
            endpoint, now.deployment, config, models_of(config), alarms={}, now=1.0
        )
        assert begun.endpoint.status is EndpointStatus.UPDATING

    def test_guardrails_need_the_same_variant_names_a_plain_update_does_not(self) -> None:
        now = serving()
        config = config_of("new", {"other": (4, 1)})
        with pytest.raises(ValidationException, match="same variant names"):
            begin_update(
                now.endpoint,
                now.deployment,
                config,
                models_of(config),
                deployment_config=blue_green("ALL_AT_ONCE"),
                alarms={},
                now=1.0,
            )
        assert begin_update(
            now.endpoint, now.deployment, config, models_of(config), alarms={}, now=1.0
        )

    def test_retained_properties_and_their_exclusion(self) -> None:
        now = serving()
        scaled = replace(now.endpoint.fleets[0], size=7)
        endpoint = replace(now.endpoint, fleets=(scaled,))
        config = config_of("new", {"v0": (2, 5)})

        def sizes(**kwargs: Any) -> tuple[int, float]:
            new = begin_update(
                endpoint, now.deployment, config, models_of(config), alarms={}, now=1.0, **kwargs
            ).deployment.new[0]
            return new.size, float(new.weight)

        assert sizes() == (2, 5.0)
        assert sizes(retain_all_variant_properties=True) == (7, 1.0)
        excluded = [{"VariantPropertyType": "DesiredInstanceCount"}]
        assert sizes(
            retain_all_variant_properties=True, exclude_retained_variant_properties=excluded
        ) == (2, 1.0)
        excluded = [{"VariantPropertyType": "DesiredWeight"}]
        assert sizes(
            retain_all_variant_properties=True, exclude_retained_variant_properties=excluded
        ) == (7, 5.0)

    def test_the_last_deployment_config_is_kept_and_can_be_retained(self) -> None:
        document = blue_green("CANARY", 5, CanarySize=size(PERCENT, 25))
        begun = updated(document)
        assert begun.endpoint.last_deployment_config == document
        back = replace(begun.endpoint, status=EndpointStatus.IN_SERVICE)
        config = config_of("newer", {"v0": (4, 1)})
        again = begin_update(
            back,
            begun.deployment,
            config,
            models_of(config),
            retain_deployment_config=True,
            alarms={},
            now=2.0,
        )
        assert again.deployment.strategy == "canary"
        with pytest.raises(ValidationException, match="RetainDeploymentConfig"):
            begin_update(
                back,
                begun.deployment,
                config,
                models_of(config),
                deployment_config=document,
                retain_deployment_config=True,
                alarms={},
                now=2.0,
            )

    def test_deployment_config_at_creation_is_checked_and_does_not_stage_it(self) -> None:
        config = config_of("c", {"v": (2, 1)})
        document = blue_green("CANARY", 5, CanarySize=size(PERCENT, 25))

        def create(given: dict[str, Any]) -> Decision:
            return begin_create(
                config,
                models_of(config),
                name="e",
                arn="arn:e",
                generation="g",
                deployment_config=given,
                alarms={},
                now=0.0,
            )

        begun = create(document)
        assert begun.endpoint.last_deployment_config == document
        assert doing(begun.deployment.plan) == ["Creating", "ActivatingTraffic"]
        with pytest.raises(ValidationException, match="CanarySize"):
            create(blue_green("CANARY", 5, CanarySize=size(PERCENT, 60)))

    @pytest.mark.parametrize(
        ("wish", "words"),
        [
            (
                {"VariantName": "nobody", "DesiredWeight": 1.0},
                'The variant name.s. "nobody" is/are not present within endpoint .* "old"[.]',
            ),
            ({"VariantName": "v0", "DesiredInstanceCount": 0}, "DesiredInstanceCount"),
            ({"VariantName": "v0", "DesiredWeight": 0.0}, "above zero"),
            ({"VariantName": "v0", "DesiredWeight": -1.0}, "zero or more"),
        ],
    )
    def test_weights_and_capacities_refused(self, wish: dict[str, Any], words: str) -> None:
        now = serving()
        with pytest.raises(ValidationException, match=words):
            begin_update_weights_and_capacities(now.endpoint, now.deployment, [wish], now=1.0)

    def test_a_variant_wished_for_twice_is_refused(self) -> None:
        now = serving()
        wishes = [{"VariantName": "v0", "DesiredWeight": weight} for weight in (1.0, 2.0)]
        words = 'The variant name "v0" was non-unique within the request.'
        with pytest.raises(ValidationException) as refused:
            begin_update_weights_and_capacities(now.endpoint, now.deployment, wishes, now=1.0)
        assert refused.value.message == words

    def test_every_variant_that_is_not_there_is_named(self) -> None:
        now = serving()
        wishes = [{"VariantName": name, "DesiredWeight": 1.0} for name in ("b", "v0", "a")]
        with pytest.raises(ValidationException, match='"b, a" is/are not present'):
            begin_update_weights_and_capacities(now.endpoint, now.deployment, wishes, now=1.0)

    def test_serverless_capacities_are_not_here(self) -> None:
        now = serving()
        wish = {"VariantName": "v0", "ServerlessUpdateConfig": {}}
        with pytest.raises(NotImplementedYet, match="ServerlessUpdateConfig"):
            begin_update_weights_and_capacities(now.endpoint, now.deployment, [wish], now=1.0)

    def test_more_instances_than_the_quota_are_refused(self) -> None:
        """Section 3.1: ResourceLimitExceeded comes from CreateEndpoint, not from the config."""
        two = {"a": (INSTANCES_MAX - 1, 1), "b": (2, 1)}
        config = config_of("crowd", two)
        models = models_of(config)
        words = (
            f"is {INSTANCES_MAX} Instances, with current utilization of 0 Instances "
            f"and a request delta of {INSTANCES_MAX + 1} Instances"
        )
        with pytest.raises(ResourceLimitExceeded, match=words):
            begin_create(config, models, name="e", arn="arn", generation="g", alarms={}, now=0.0)
        now = serving(4)
        with pytest.raises(ResourceLimitExceeded, match="current utilization of 4 Instances"):
            begin_update(now.endpoint, now.deployment, config, models, alarms={}, now=1.0)
        wish = {"VariantName": "v0", "DesiredInstanceCount": 2_000_000_000}
        with pytest.raises(ResourceLimitExceeded, match="request delta of 1999999996 Instances"):
            begin_update_weights_and_capacities(now.endpoint, now.deployment, [wish], now=1.0)
