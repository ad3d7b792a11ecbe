"""The names of namespaces: which are allowed, and who may name one other than its own."""

import re
from typing import Final

from flowgram_server.auth.errors import PermissionDenied
from flowgram_server.auth.principal import Principal, Role

NAMESPACE_KEY: Final = "flowgram-namespace"
"""The metadata, and the HTTP header, by which an admin names a namespace."""

MAX_NAMESPACE: Final = 64

_NAME: Final = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_NAMESPACE}}}")


def checked_namespace(name: str) -> str:
    """The name of a namespace, as it is.

    Raises:
        ValueError: It is none; the text is for people.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"must be 1 to {MAX_NAMESPACE} letters, digits, `-`, `_` and `.`")
    return name


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
