"""What IAM asks about users and roles that nobody has here: passwords, MFA devices, certificates,
SSH keys, service-specific credentials, instance profiles.

None can be made, which NotImplemented says; so there are none, and that is what lists say. Whoever
takes a user or a role down asks for them first: Terraform for a role's instance profiles, and for
all the rest where it is to force a user's end.
"""

from __future__ import annotations

from inservice.identity.iam.errors import NoSuchEntity
from inservice.identity.principal import Account
from inservice.operations.iam import touches
from inservice.operations.iam.found import caller_s_user_name, role_named, user_named
from inservice.operations.iam.pages import PAGE_SIZE, Pages
from inservice.operations.registry import Call, Document, operation
from inservice.operations.touches import anything

_END: Document = {"IsTruncated": False}


@operation("iam", "ListInstanceProfiles", on=(anything,))
def list_instance_profiles(
    call: Call,
    *,
    path_prefix: str = "/",
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """None."""
    Pages.of(call, ("ListInstanceProfiles", path_prefix), marker, max_items)
    return {"InstanceProfiles": [], **_END}


@operation("iam", "ListInstanceProfilesForRole", on=(touches.role,))
def list_instance_profiles_for_role(
    call: Call, *, role_name: str, marker: str | None = None, max_items: int = PAGE_SIZE
) -> Document:
    """None, of a role that is there."""
    with call.store.reading() as records:
        role_named(records, call, role_name)
    Pages.of(call, ("ListInstanceProfilesForRole", role_name), marker, max_items)
    return {"InstanceProfiles": [], **_END}


@operation("iam", "ListMFADevices", on=(touches.user,))
def list_mfa_devices(
    call: Call,
    *,
    user_name: str | None = None,
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """None, of a user that is there."""
    return _none(call, "MFADevices", user_name, marker, max_items)


@operation("iam", "ListSSHPublicKeys", on=(touches.user,))
def list_ssh_public_keys(
    call: Call,
    *,
    user_name: str | None = None,
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """None, of a user that is there."""
    return _none(call, "SSHPublicKeys", user_name, marker, max_items)


@operation("iam", "ListSigningCertificates", on=(touches.user,))
def list_signing_certificates(
    call: Call,
    *,
    user_name: str | None = None,
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """None, of a user that is there."""
    return _none(call, "Certificates", user_name, marker, max_items)


@operation("iam", "ListServiceSpecificCredentials", on=(touches.user,))
def list_service_specific_credentials(
    call: Call,
    *,
    user_name: str | None = None,
    service_name: str = "",
    all_users: bool = False,
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """None, of a user that is there or of all."""
    if all_users:
        Pages.of(call, ("ServiceSpecificCredentials", service_name), marker, max_items)
        return {"ServiceSpecificCredentials": [], **_END}
    return _none(call, "ServiceSpecificCredentials", user_name, marker, max_items)


@operation("iam", "ListVirtualMFADevices", on=(anything,))
def list_virtual_mfa_devices(
    call: Call,
    *,
    assignment_status: str = "Any",
    marker: str | None = None,
    max_items: int = PAGE_SIZE,
) -> Document:
    """None."""
    Pages.of(call, ("ListVirtualMFADevices", assignment_status), marker, max_items)
    return {"VirtualMFADevices": [], **_END}


@operation("iam", "GetLoginProfile", on=(touches.user,))
def get_login_profile(call: Call, *, user_name: str | None = None) -> Document:
    """Nobody has a password: NoSuchEntity, as AWS answers for a user without."""
    raise _no_login_profile(call, user_name)


@operation("iam", "DeleteLoginProfile", on=(touches.user,))
def delete_login_profile(call: Call, *, user_name: str | None = None) -> Document:
    """Nobody has a password: NoSuchEntity, as AWS answers for a user without."""
    raise _no_login_profile(call, user_name)


def _none(
    call: Call, member: str, user_name: str | None, marker: str | None, max_items: int
) -> Document:
    whose = user_name
    if user_name is not None or call.principal != Account(call.account).root.arn:
        whose = caller_s_user_name(call) if user_name is None else user_name
        with call.store.reading() as records:
            user_named(records, call, whose)
    Pages.of(call, (member, whose), marker, max_items)
    return {member: [], **_END}


def _no_login_profile(call: Call, user_name: str | None) -> NoSuchEntity:
    name = caller_s_user_name(call) if user_name is None else user_name
    with call.store.reading() as records:
        user_named(records, call, name)
    return NoSuchEntity(f"Login Profile for User {name} cannot be found.")
