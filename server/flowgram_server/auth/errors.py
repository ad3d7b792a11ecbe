"""Errors of authentication.

AuthError                   a call is refused for who makes it; the text is for the client
├── CredentialsMissing      credentials are asked for, and the call has none
├── CredentialsInvalid      those that it has are unknown, malformed, expired or revoked
└── PermissionDenied        they are valid, and do not allow the call
CredentialFileUnusable      a file of keys, tokens or certificates cannot be used; the text is for operators
"""


class AuthError(Exception):
    """A call is refused for who makes it."""


class CredentialsMissing(AuthError):
    """Credentials are asked for, and the call has none."""

    def __init__(self, kinds: str) -> None:
        super().__init__(f"the server asks for credentials: send {kinds}")


class CredentialsInvalid(AuthError):
    """The credentials of a call are unknown, malformed, expired or revoked."""


class PermissionDenied(AuthError):
    """The credentials of a call are valid, and do not allow it."""


class CredentialFileUnusable(Exception):
    """A file of keys, tokens or certificates cannot be used; the text is for operators."""
