"""Errors of authentication.

AuthError                   a call is refused for who makes it; the text is for the client
├── CredentialsMissing      credentials are asked for, and the call has none
├── CredentialsInvalid      those that it has are unknown, malformed, expired or revoked
└── PermissionDenied        they are valid, and do not allow the call
CredentialFileUnusable      a file of keys, tokens or certificates cannot be used; the text is for operators
"""

from enum import StrEnum


class AuthFailure(StrEnum):
    """Why a call was refused, in more detail than a caller gets: for metrics, logs and operators."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    """No key or certificate of this kind is known, or not any more."""
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_ISSUER = "wrong_issuer"
    BAD_SIGNATURE = "bad_signature"
    """The issuer has not signed the token, as far as its keys are known."""
    KEYS_UNAVAILABLE = "keys_unavailable"
    """The keys of the issuer could not be fetched."""
    DENIED = "denied"
    """The credentials are valid, and do not allow the call."""


class AuthError(Exception):
    """A call is refused for who makes it.

    Attributes:
        failure: Why.
    """

    failure: AuthFailure


class CredentialsMissing(AuthError):
    """Credentials are asked for, and the call has none."""

    failure = AuthFailure.MISSING

    def __init__(self, kinds: str) -> None:
        super().__init__(f"the server asks for credentials: send {kinds}")


class CredentialsInvalid(AuthError):
    """The credentials of a call are unknown, malformed, expired or revoked.

    Args:
        text: For the client.
        failure: Why, for operators.
    """

    def __init__(self, text: str, failure: AuthFailure = AuthFailure.MALFORMED) -> None:
        super().__init__(text)
        self.failure = failure


class PermissionDenied(AuthError):
    """The credentials of a call are valid, and do not allow it."""

    failure = AuthFailure.DENIED


class CredentialFileUnusable(Exception):
    """A file of keys, tokens or certificates cannot be used; the text is for operators."""
