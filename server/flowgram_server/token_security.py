"""The check of signed tokens, as the settings have it: with the keys of their issuer, kept up to date."""

import ssl
from functools import partial

from flowgram_core.concurrency.clock import Clock
from flowgram_server.auth.authenticator import Authenticator
from flowgram_server.auth.errors import CredentialFileUnusable
from flowgram_server.auth.signing_keys import (
    FileKeys,
    KeySet,
    RemoteKeys,
    SigningKeys,
    key_set_fetcher,
    read_key_set,
)
from flowgram_server.auth.tokens import Tokens
from flowgram_server.auth.upkeep import Upkeep
from flowgram_server.settings.security import JWT


def token_verifier(settings: JWT, authenticator: Authenticator, clock: Clock, kept: Upkeep) -> Tokens:
    """What checks tokens.

    Args:
        settings: Which tokens are valid.
        authenticator: Forgets what it knows where keys are there no more.
        clock: Tells the time, and waits.
        kept: Reads the keys again, or fetches them.

    Raises:
        CredentialFileUnusable: The file of the authorities to trust cannot be used.
    """
    keys = _signing_keys(settings, authenticator, clock, kept)
    return Tokens(keys, settings.issuer, settings.audience, settings.claims, settings.leeway)


def _signing_keys(settings: JWT, authenticator: Authenticator, clock: Clock, kept: Upkeep) -> SigningKeys:
    if settings.jwks_file is not None:
        path = settings.jwks_file
        from_file = FileKeys()

        def replace(keys: KeySet) -> None:
            from_file.replace(keys)
            authenticator.forget()

        kept.watch([path], lambda: partial(replace, read_key_set(path)))
        return from_file
    try:
        context = ssl.create_default_context(cafile=settings.jwks_ca_file)
    except (ssl.SSLError, OSError) as error:
        raise CredentialFileUnusable(f"{settings.jwks_ca_file}: {error.strerror}") from None
    fetch = key_set_fetcher(settings.jwks_uri or "", context)
    remote = RemoteKeys(fetch, clock, settings.max_key_age, authenticator.forget)
    kept.run("signing keys", remote.keep)
    return remote
