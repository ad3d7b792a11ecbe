"""Signed tokens (JWT): the check of their signature, their issuer, their audience and their time."""

from collections.abc import Sequence
from typing import Final

import jwt
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    MissingRequiredClaimError,
    PyJWTError,
)

from flowgram_server.auth.claims import ClaimNames
from flowgram_server.auth.errors import AuthFailure, CredentialsInvalid
from flowgram_server.auth.principal import Verified
from flowgram_server.auth.signing_keys import SigningKeys

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
"""Those that tokens may be signed by: none that checks with the key that it signs with, and never none."""

_KINDS: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
"""The kind of key by the beginning of the algorithm's name."""

_OTHER_ALGORITHM: Final = "the token is signed by another algorithm than its key is for"

_TEXTS: Final[Sequence[tuple[type[PyJWTError], str, AuthFailure]]] = (
    (ExpiredSignatureError, "the token has expired", AuthFailure.EXPIRED),
    (ImmatureSignatureError, "the token is not valid yet", AuthFailure.NOT_YET_VALID),
    (InvalidAudienceError, "the token is for another audience", AuthFailure.WRONG_AUDIENCE),
    (InvalidIssuerError, "the token is from another issuer", AuthFailure.WRONG_ISSUER),
    (InvalidSignatureError, "the token is not valid", AuthFailure.BAD_SIGNATURE),
)


class Tokens:
    """Checks tokens of one issuer.

    Args:
        keys: Those that it signs with.
        issuer: What their `iss` must be.
        audience: What must be in their `aud`.
        claims: Say who the bearer is.
        leeway: Seconds by which clocks may differ.
    """

    def __init__(
        self, keys: SigningKeys, issuer: str, audience: str, claims: ClaimNames, leeway: float
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._claims = claims
        self._leeway = leeway

    async def verify(self, token: str, now: int) -> Verified:  # noqa: ARG002 - the library has the system's time
        """The bearer of a token.

        Raises:
            CredentialsInvalid: It is not valid; the text says why, and not what is in it.
            PermissionDenied: It gives no role, or no namespace.
        """
        try:
            header = jwt.get_unverified_header(token)
        except (PyJWTError, ValueError, RecursionError):
            raise CredentialsInvalid("the credential is neither a token nor a key that is known") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise CredentialsInvalid(
                f"tokens are signed by one of {', '.join(ALGORITHMS)}", AuthFailure.BAD_SIGNATURE
            )
        key = await self._keys.find(key_id)
        if key.key_type != _KINDS[algorithm[:2]]:
            raise CredentialsInvalid(_OTHER_ALGORITHM, AuthFailure.BAD_SIGNATURE)
        declared = key._jwk_data.get("alg")  # noqa: SLF001 - PyJWK guesses one where the key names none
        if declared is not None and declared != algorithm:
            raise CredentialsInvalid(_OTHER_ALGORITHM, AuthFailure.BAD_SIGNATURE)
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            expires = round((int(claims["exp"]) + self._leeway) * 1e6)
        # The library lets some of Python's own pass, such as those of numbers without end.
        except (PyJWTError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise _invalid(error) from None
        return Verified(self._claims.principal(claims), expires)


def _invalid(error: Exception) -> CredentialsInvalid:
    if isinstance(error, MissingRequiredClaimError):
        return CredentialsInvalid(f"the token has no {error.claim}")
    for kind, text, failure in _TEXTS:
        if isinstance(error, kind):
            return CredentialsInvalid(text, failure)
    return CredentialsInvalid("the token is not valid")
