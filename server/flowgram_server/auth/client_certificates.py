"""Client certificates: whom their subjects, and their alternative names, stand for. TLS itself checks the certificates."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from flowgram_server.auth.errors import AuthFailure, CredentialsInvalid
from flowgram_server.auth.principal import Principal, Role, Verified

if TYPE_CHECKING:
    from cryptography import x509

# The library is loaded where there are certificates: it takes a while.

_URI: Final = "URI:"
_DNS: Final = "DNS:"
_BLANKS: Final = re.compile(r"(?<!\\), +")
"""Between the parts of a subject, as OpenSSL shows it; RFC 4514 has none there."""


def holder_name(text: str) -> str:
    """The name of a holder in one form: a subject as RFC 4514 has it, or `URI:` or `DNS:` and an alternative name.

    Raises:
        ValueError: It is none; the text is for operators.
    """
    if text.startswith((_URI, _DNS)) and len(text) > len(_URI):
        return text
    from cryptography import x509  # noqa: PLC0415 - as above

    try:
        name = x509.Name.from_rfc4514_string(_BLANKS.sub(",", text)).rfc4514_string()
    except ValueError:
        name = ""
    if not name:
        raise ValueError(f'"{text}" is no subject, such as "CN=worker,O=Acme", nor URI: or DNS: with a name')
    return name


class ClientCertificates:
    """Knows the holders of certificates.

    Args:
        holders: Namespace and role of each, by its `holder_name`.
    """

    def __init__(self, holders: Mapping[str, tuple[str, Role]]) -> None:
        self._holders = dict(holders)

    def verify(self, certificate: bytes) -> Verified:
        """The holder of a certificate, in DER or PEM, until it expires. Raises `CredentialsInvalid`."""
        from cryptography import x509  # noqa: PLC0415 - as above

        try:
            load = (
                x509.load_pem_x509_certificate
                if certificate.startswith(b"-----")
                else x509.load_der_x509_certificate
            )
            parsed = load(certificate)
            names = _names(parsed)
        except ValueError:
            raise CredentialsInvalid("the client certificate cannot be read") from None
        for name in names:
            if name in self._holders:
                namespace, role = self._holders[name]
                expires = round(parsed.not_valid_after_utc.timestamp() * 1e6)
                return Verified(Principal(f"certificate:{name[:100]}", namespace, role), expires)
        raise CredentialsInvalid(
            "the subject of the client certificate is not known here", AuthFailure.UNKNOWN
        )


def _names(certificate: "x509.Certificate") -> list[str]:
    from cryptography import x509  # noqa: PLC0415 - as above

    names = [certificate.subject.rfc4514_string()]
    try:
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return names
    uris = others.get_values_for_type(x509.UniformResourceIdentifier)
    hosts = others.get_values_for_type(x509.DNSName)
    return [*names, *(f"{_URI}{uri}" for uri in uris), *(f"{_DNS}{host}" for host in hosts)]
