import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.authority import Authority
from support.fakes import FakeClock

from flowgram_server.auth.authenticator import Authenticator
from flowgram_server.auth.client_certificates import ClientCertificates, holder_name
from flowgram_server.auth.errors import CredentialsInvalid
from flowgram_server.auth.principal import Principal, Role

TEAM = ("team-a", Role.RUNNER)


def certificates(name: str) -> ClientCertificates:
    return ClientCertificates({holder_name(name): TEAM})


@pytest.mark.parametrize("name", ["CN=worker,O=Acme", "CN=worker, O=Acme", "URI:spiffe://acme/worker"])
def test_a_holder(name: str) -> None:
    """The subject, or an alternative name, says who it is; in PEM as in DER."""
    pem = Authority().client("worker", "spiffe://acme/worker").certificate
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    for certificate in (pem, der):
        verified = certificates(name).verify(certificate)
        assert verified.principal == Principal(f"certificate:{holder_name(name)}", *TEAM)
        assert verified.expires is not None


@pytest.mark.parametrize(
    "name", ["CN=worker", "O=Acme", "CN=worker,O=Acme Ltd", "URI:spiffe://acme/other", "DNS:worker"]
)
def test_somebody_else(name: str) -> None:
    """A part of a subject is not enough."""
    pem = Authority().client("worker", "spiffe://acme/worker").certificate
    with pytest.raises(CredentialsInvalid, match="not known here"):
        certificates(name).verify(pem)


@pytest.mark.parametrize("data", [b"", b"x", b"-----BEGIN CERTIFICATE-----"])
def test_what_is_no_certificate(data: bytes) -> None:
    """It is nobody's."""
    with pytest.raises(CredentialsInvalid):
        certificates("CN=a").verify(data)


@pytest.mark.parametrize("name", ["", "worker", "URI:", "DNS:", "CN"])
def test_names_of_nobody(name: str) -> None:
    """What would never match is a mistake in the settings."""
    with pytest.raises(ValueError, match="is no subject"):
        holder_name(name)


def test_an_expired_certificate() -> None:
    """A connection may live longer than its certificate, whose holder may call no more then."""
    clock = FakeClock()
    pem = Authority().client("worker").certificate
    end = x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()
    authenticator = Authenticator(clock, certificates=certificates("CN=worker,O=Acme"))
    clock.advance(end - clock.now() / 1e6 - 1)
    assert authenticator.holder(pem).principal.namespace == "team-a"
    clock.advance(1)
    with pytest.raises(CredentialsInvalid, match="has expired"):
        authenticator.holder(pem)
