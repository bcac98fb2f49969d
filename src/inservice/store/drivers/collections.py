"""Every noun of a reading and of a transaction, with its rows."""

from __future__ import annotations

from inservice.store.base import Reading, Transaction
from inservice.store.collections.access_keys import AccessKeyRows, WritableAccessKeyRows
from inservice.store.collections.accounts import AccountRows, WritableAccountRows
from inservice.store.collections.alarms import AlarmRows, WritableAlarmRows
from inservice.store.collections.client_logs import ClientLogRows, WritableClientLogRows
from inservice.store.collections.dashboards import DashboardRows, WritableDashboardRows
from inservice.store.collections.endpoint_configs import (
    EndpointConfigRows,
    WritableEndpointConfigRows,
)
from inservice.store.collections.endpoints import EndpointRows, WritableEndpointRows
from inservice.store.collections.groups import GroupRows, WritableGroupRows
from inservice.store.collections.models import ModelRows, WritableModelRows
from inservice.store.collections.oidc_providers import (
    OidcProviderRows,
    WritableOidcProviderRows,
)
from inservice.store.collections.policies import PolicyRows, WritablePolicyRows
from inservice.store.collections.roles import RoleRows, WritableRoleRows
from inservice.store.collections.sessions import SessionRows, WritableSessionRows
from inservice.store.collections.set_aside import SetAsideRows
from inservice.store.collections.tags import TagRows, WritableTagRows
from inservice.store.collections.users import UserRows, WritableUserRows
from inservice.store.kit.access import Access, WritableAccess


def reading_over(access: Access) -> Reading:
    """What can be asked, over a connection."""
    return Reading(
        access_keys=AccessKeyRows(access),
        accounts=AccountRows(access),
        alarms=AlarmRows(access),
        client_logs=ClientLogRows(access),
        dashboards=DashboardRows(access),
        endpoint_configs=EndpointConfigRows(access),
        endpoints=EndpointRows(access),
        groups=GroupRows(access),
        models=ModelRows(access),
        oidc_providers=OidcProviderRows(access),
        policies=PolicyRows(access),
        roles=RoleRows(access),
        sessions=SessionRows(access),
        set_aside=SetAsideRows(access),
        tags=TagRows(access),
        users=UserRows(access),
    )


def transaction_over(access: WritableAccess) -> Transaction:
    """What can be written too, over the writer's connection."""
    return Transaction(
        access_keys=WritableAccessKeyRows(access),
        accounts=WritableAccountRows(access),
        alarms=WritableAlarmRows(access),
        client_logs=WritableClientLogRows(access),
        dashboards=WritableDashboardRows(access),
        endpoint_configs=WritableEndpointConfigRows(access),
        endpoints=WritableEndpointRows(access),
        groups=WritableGroupRows(access),
        models=WritableModelRows(access),
        oidc_providers=WritableOidcProviderRows(access),
        policies=WritablePolicyRows(access),
        roles=WritableRoleRows(access),
        sessions=WritableSessionRows(access),
        set_aside=SetAsideRows(access),
        tags=WritableTagRows(access),
        users=WritableUserRows(access),
    )
