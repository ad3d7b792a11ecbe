"""The claims of a token: the subject, the role and the namespaces of its bearer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flowgram_server.auth.errors import CredentialsInvalid, PermissionDenied
from flowgram_server.auth.namespaces import checked_namespace
from flowgram_server.auth.principal import DEFAULT_NAMESPACE, Principal, Role

_MAX_NAME: Final = 100
_UNPRINTABLE: Final = re.compile(r"[^ -~]")


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Which claims say what. A dot leads into an object, where no claim has the whole name.

    Attributes:
        namespace: Names the namespace; empty: every bearer is in the default one.
        roles: Names the roles: a text with blanks between them, or a list.
        role_of: What each of them means here; those that are not in it mean nothing.
    """

    namespace: str = "namespace"
    roles: str = "roles"
    role_of: Mapping[str, Role] = field(
        default_factory=lambda: {"reader": Role.READER, "runner": Role.RUNNER, "admin": Role.ADMIN}
    )

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        """Whom claims are about.

        Raises:
            CredentialsInvalid: They name nobody.
            PermissionDenied: They give no role, or no namespace.
        """
        subject = claims.get("sub")
        if not isinstance(subject, str) or not subject:
            raise CredentialsInvalid("the token names nobody: it has no sub")
        name = f"token:{_UNPRINTABLE.sub('?', subject)[:_MAX_NAME]}"
        return Principal(name, self._namespace(claims), self._role(claims))

    def _namespace(self, claims: Mapping[str, Any]) -> str:
        if not self.namespace:
            return DEFAULT_NAMESPACE
        found = _claim(claims, self.namespace)
        if not isinstance(found, str):
            raise PermissionDenied(f"the token has no namespace: its claim {self.namespace} is no text")
        try:
            return checked_namespace(found)
        except ValueError as error:
            raise PermissionDenied(f"the claim {self.namespace} of the token {error}") from None

    def _role(self, claims: Mapping[str, Any]) -> Role:
        """The highest of its roles."""
        found = _claim(claims, self.roles)
        names = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
        roles = [self.role_of[name] for name in names if isinstance(name, str) and name in self.role_of]
        if not roles:
            raise PermissionDenied(f"the token has no role that is known here in its claim {self.roles}")
        return max(roles)


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    if path in claims:  # such as https://example.com/roles
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
