"""TLS: the certificates of both ports, which are read again when they are renewed.

gRPC asks for its certificates at every connection. The HTTP port has one context that lives as long as the port, which hands every
handshake over to the newest one: so authorities that are gone are trusted no more, which adding to a live context would not do.
"""

import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import grpc

from flowgram_server.auth.credential_file import read_credentials
from flowgram_server.auth.errors import CredentialFileUnusable


class TLSFiles(NamedTuple):
    """Where certificates are, all in PEM.

    Attributes:
        certificate: The server's, and those between it and its authority.
        key: Its private key, without a password.
        client_authorities: Those whose client certificates are valid; None: clients are asked for none.
        require_client: Whether clients without one are refused. gRPC asks for them only if it is so.
    """

    certificate: Path
    key: Path
    client_authorities: Path | None = None
    require_client: bool = False

    @property
    def paths(self) -> list[Path]:
        """All files."""
        return [path for path in self[:3] if path is not None]


class _Loaded(NamedTuple):
    context: ssl.SSLContext
    configuration: grpc.ServerCertificateConfiguration


class ServerTLS:
    """The certificates of a server.

    Args:
        files: Where they are.

    Raises:
        CredentialFileUnusable: They cannot be used.
    """

    def __init__(self, files: TLSFiles) -> None:
        self._files = files
        self._loaded = self._given = _load(files)

    def load(self) -> Callable[[], object]:
        """Reads the files again; call what it gives to use them. Raises `CredentialFileUnusable`."""
        return partial(setattr, self, "_loaded", _load(self._files))

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Of a gRPC port."""
        return grpc.dynamic_ssl_server_credentials(
            self._loaded.configuration,
            self._changed,  # type: ignore[arg-type]  # None is allowed, whatever the stub says
            self._files.require_client,
        )

    def http_context(self) -> ssl.SSLContext:
        """Of an HTTP port."""
        context = _load(self._files).context

        def hand_over(connection: ssl.SSLObject, _: str, __: ssl.SSLContext) -> None:
            connection.context = self._loaded.context

        context.sni_callback = hand_over
        return context

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What gRPC is to use from now on; None: what it has. Called in a thread of gRPC's."""
        loaded = self._loaded
        if loaded is self._given:
            return None
        self._given = loaded
        return loaded.configuration


def _load(files: TLSFiles) -> _Loaded:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    pair = read_credentials(files.certificate), read_credentials(files.key)
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None)
        text = {
            "KEY_VALUES_MISMATCH": f"the key in {files.key} is not that of the certificate in {files.certificate}"
        }.get(
            why or "",
            f"{files.certificate}, {files.key}: no certificate and key without a password in PEM format",
        )
        raise CredentialFileUnusable(text) from None
    except OSError as error:
        raise CredentialFileUnusable(f"{files.certificate}, {files.key}: {error.strerror}") from None
    if pair != (
        read_credentials(files.certificate),
        read_credentials(files.key),
    ):  # gRPC would get others than those that fit
        raise CredentialFileUnusable(f"{files.certificate}, {files.key}: have changed while they were read")
    authorities = None
    if files.client_authorities is not None:
        authorities = read_credentials(files.client_authorities)
        try:
            context.load_verify_locations(cadata=authorities.decode("ascii", "replace"))
        except ssl.SSLError:
            raise CredentialFileUnusable(
                f"{files.client_authorities}: no certificates in PEM format"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED if files.require_client else ssl.CERT_OPTIONAL
        # A session that goes on is not looked at again: it would outlive the authority of its certificate.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    configuration = grpc.ssl_server_certificate_configuration([(pair[1], pair[0])], authorities)
    return _Loaded(context, configuration)


def _no_password() -> str:
    """Without it, OpenSSL would ask for one at the terminal."""
    return ""
