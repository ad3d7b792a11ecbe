"""The choice of a namespace: which callers may name one other than their own."""

from typing import Final

from flowgram_core.journal.namespaces import check_namespace as checked_namespace
from flowgram_server.auth.errors import PermissionDenied
from flowgram_server.auth.principal import Principal, Role

NAMESPACE_KEY: Final = "flowgram-namespace"
"""The metadata, and the HTTP header, by which an admin names a namespace."""

__all__ = ["NAMESPACE_KEY", "checked_namespace", "in_namespace"]


def in_namespace(principal: Principal, name: str) -> Principal:
    """A principal in the namespace that its call names.

    Raises:
        PermissionDenied: It is another one than its own, and the principal is no admin.
        ValueError: That is no name of a namespace.
    """
    if name == principal.namespace:
        return principal
    if principal.role < Role.ADMIN:
        raise PermissionDenied(
            f"only an admin may name another namespace, and {principal.name} has {principal.role.name.lower()}"
        )
    return principal._replace(namespace=checked_namespace(name))
