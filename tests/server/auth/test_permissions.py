import pytest

from flowgram.runtime.v1 import runtime_service_pb2 as service_pb2
from flowgram_server.auth.errors import PermissionDenied
from flowgram_server.auth.namespaces import checked_namespace, in_namespace
from flowgram_server.auth.permissions import MINIMUM_ROLE, check_role
from flowgram_server.auth.principal import Principal, Role

METHODS = [
    method.name for method in service_pb2.DESCRIPTOR.services_by_name["WorkflowRuntimeService"].methods
]


def caller(role: Role) -> Principal:
    return Principal("key:a", "team-a", role)


def test_every_method_of_the_contract_has_a_role() -> None:
    """Nobody adds a method without saying who may call it."""
    assert MINIMUM_ROLE.keys() == set(METHODS)


@pytest.mark.parametrize("role", Role)
def test_what_a_role_may(role: Role) -> None:
    """Readers see, runners run and cancel, too, and a caller without a role learns that there is a server."""
    allowed = set()
    for method, needed in MINIMUM_ROLE.items():
        try:
            check_role(caller(role), method, needed)
        except PermissionDenied:
            continue
        allowed.add(method)
    changing = {"TaskRun", "TaskRunBatch", "TaskCancel"}
    assert (
        allowed
        == {
            Role.NONE: {"ServerInfo"},
            Role.READER: set(METHODS) - changing,
            Role.RUNNER: set(METHODS),
            Role.ADMIN: set(METHODS),
        }[role]
    )


@pytest.mark.parametrize("name", ["a", "Team_A.1-b", "x" * 64])
def test_names_of_namespaces(name: str) -> None:
    """Letters, digits and three marks, at most 64 of them."""
    assert checked_namespace(name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a/b", "ä", "a\n", "a\x00", "٣", "a:b", "a,b"])
def test_odd_names_of_namespaces(name: str) -> None:
    """Anything else is none."""
    with pytest.raises(ValueError, match="letters, digits"):
        checked_namespace(name)


def test_an_admin_names_a_namespace() -> None:
    """An admin acts where it says; others may name only their own."""
    assert in_namespace(caller(Role.ADMIN), "team-b").namespace == "team-b"
    assert in_namespace(caller(Role.READER), "team-a") == caller(Role.READER)
    with pytest.raises(PermissionDenied, match="only an admin"):
        in_namespace(caller(Role.RUNNER), "team-b")
    with pytest.raises(ValueError, match="letters, digits"):
        in_namespace(caller(Role.ADMIN), "../b")
