"""The registry, and every SageMaker operation's signature against AWS's model."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import cast

import botocore.session
import pytest
from botocore import xform_name

from inservice.operations import registry
from inservice.operations.live import Live
from inservice.store.base import Store

from .conftest import NothingRuns

MODEL = botocore.session.get_session().get_service_model("sagemaker")

OURS = [each for each in registry.operations() if each.service == "sagemaker"]


def test_the_operations_of_hosting_are_there() -> None:
    verbs = ("Create", "Describe", "Delete")
    names = {f"{verb}{kind}" for verb in verbs for kind in ("Model", "EndpointConfig", "Endpoint")}
    names |= {"ListModels", "ListEndpointConfigs", "ListEndpoints"}
    names |= {"UpdateEndpoint", "UpdateEndpointWeightsAndCapacities"}
    names |= {"AddTags", "ListTags", "DeleteTags"}
    assert names <= {each.name for each in OURS}
    assert registry.find("sagemaker", "CreateNotebookInstance") is None
    assert registry.find("s3", "CreateModel") is None


@pytest.mark.parametrize("operation", OURS, ids=lambda each: each.name)
def test_a_signature_is_the_input_shape(operation: registry.Operation) -> None:
    shape = MODEL.operation_model(operation.name).input_shape
    assert shape is not None
    parameters = dict(inspect.signature(operation.function).parameters)
    del parameters["call"]
    assert parameters.keys() == {registry.keyword_of(member) for member in shape.members}
    required = {
        name for name, each in parameters.items() if each.default is inspect.Parameter.empty
    }
    assert required == {registry.keyword_of(member) for member in shape.required_members}


def test_keywords_are_what_boto3_users_know() -> None:
    members = {
        member
        for name in MODEL.operation_names
        if (shape := MODEL.operation_model(name).input_shape)
        for member in shape.members
    }
    assert {m: registry.keyword_of(m) for m in members} == {m: xform_name(m) for m in members}
    assert registry.keyword_of("OKActions") == "ok_actions"


def positional(call: registry.Call, model_name: str) -> None:
    """Not keyword-only."""


def camel(call: registry.Call, *, modelName: str) -> None:  # noqa: N803
    """Not snake_case."""


def untyped(call: registry.Call, *, model_name) -> None:  # type: ignore[no-untyped-def]
    """No type."""


def without_call(*, model_name: str) -> None:
    """No call."""


@pytest.mark.parametrize("function", [positional, camel, untyped, without_call])
def test_what_is_no_operation_fails_at_import(function: object) -> None:
    with pytest.raises(TypeError):
        registry.operation("sagemaker", "CreateNothing", on=())(function)  # type: ignore[type-var]
    assert registry.find("sagemaker", "CreateNothing") is None


def test_a_name_is_taken_once() -> None:
    def create_model(call: registry.Call, *, model_name: str) -> None:
        """Another one."""

    with pytest.raises(TypeError, match="twice"):
        registry.operation("sagemaker", "CreateModel", on=())(create_model)


def test_now_is_cut_to_what_the_wire_can_tell(store: Store, tmp_path: Path) -> None:
    call = registry.Call(
        "0" * 12, "us-east-1", "arn", "id", 12.3459, store, cast(Live, NothingRuns())
    )
    assert call.now == 12.345


GO_ON_WHEN_FULL = {
    *(each.name for each in registry.operations() if each.name.startswith(("Describe", "List"))),
    *("GetCallerIdentity", "GetDashboard", "GetLogEvents", "GetMetricData"),
    *("GetMetricStatistics", "FilterLogEvents", "PlanDeployment"),
    *("DeleteModel", "DeleteEndpointConfig", "DeleteEndpoint", "DeleteTags", "DeleteAlarms"),
    *("DeleteDashboards", "DeleteLogGroup", "DeleteLogStream", "DeleteRetentionPolicy"),
    *("UntagResource", "UntagLogGroup", "AbortDeployment", "PauseDeployment"),
    *("RotateRootAccessKey", "DeleteAccount", "RemoveImage", "PruneImages"),
    # IAM: what is asked, what makes less of it, and what takes a key or a right away
    *("GetUser", "GetGroup", "GetRole", "GetUserPolicy", "GetGroupPolicy", "GetRolePolicy"),
    *("GetPolicy", "GetPolicyVersion", "GetLoginProfile", "GetAccessKeyLastUsed"),
    *("GetAccountSummary", "GetAccountAuthorizationDetails", "GetContextKeysForCustomPolicy"),
    *("GetContextKeysForPrincipalPolicy", "GetServiceLinkedRoleDeletionStatus"),
    *("SimulateCustomPolicy", "SimulatePrincipalPolicy"),
    *("DeleteUser", "DeleteGroup", "DeleteRole", "DeletePolicy", "DeletePolicyVersion"),
    *("DeleteUserPolicy", "DeleteGroupPolicy", "DeleteRolePolicy", "DeleteServiceLinkedRole"),
    *("DeleteUserPermissionsBoundary", "DeleteRolePermissionsBoundary", "DeleteLoginProfile"),
    *("DetachUserPolicy", "DetachGroupPolicy", "DetachRolePolicy", "RemoveUserFromGroup"),
    *("UntagUser", "UntagRole", "UntagPolicy", "DeleteAccessKey", "UpdateAccessKey"),
    *("GetAccessKeyInfo", "DecodeAuthorizationMessage", "GetAuthorizationToken", "GetResources"),
    *("GetOpenIDConnectProvider", "DeleteOpenIDConnectProvider", "UntagOpenIDConnectProvider"),
    "RemoveClientIDFromOpenIDConnectProvider",
}


def test_on_a_full_disk_only_reads_deletes_and_stops_go_on() -> None:
    everything = {each.name for each in registry.operations()}
    assert {each.name for each in registry.operations() if each.adds} == (
        everything - GO_ON_WHEN_FULL
    )
    assert everything >= GO_ON_WHEN_FULL
