"""Setting groups of what keeps a server safe on a network: TLS and authentication."""

from pathlib import Path
from typing import Annotated, Self, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from flowgram_server.address import is_protected
from flowgram_server.auth.api_keys import RoleName
from flowgram_server.auth.claims import ClaimNames
from flowgram_server.auth.client_certificates import holder_name
from flowgram_server.auth.namespaces import checked_namespace
from flowgram_server.auth.principal import DEFAULT_NAMESPACE, Role
from flowgram_server.auth.tls import TLSFiles
from flowgram_server.settings.groups import Group, Seconds


class TLS(Group):
    """The certificates of both ports. Where none is set, they are not encrypted."""

    cert_file: Path | None = Field(
        default=None, description="PEM file of the server's certificate and those up to its authority."
    )
    key_file: Path | None = Field(
        default=None, description="PEM file of its private key, without a password."
    )
    client_ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities whose client certificates are valid."
    )
    require_client_cert: bool = Field(
        default=False,
        description="Refuse clients without a certificate; gRPC asks for certificates only then.",
    )

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        if self.client_ca_file is not None and self.cert_file is None:
            raise ValueError("client_ca_file needs cert_file and key_file")
        if self.require_client_cert and self.client_ca_file is None:
            raise ValueError("require_client_cert needs client_ca_file")
        return self

    @property
    def files(self) -> TLSFiles | None:
        """The same for the server; None without TLS."""
        if self.cert_file is None or self.key_file is None:
            return None
        return TLSFiles(self.cert_file, self.key_file, self.client_ca_file, self.require_client_cert)


class JWT(Group):
    """Which signed tokens are valid, and what they say of their bearer. Where there is no issuer, none is."""

    issuer: str = Field(default="", description="What the claim iss must be.")
    audience: str = Field(default="", description="What must be in the claim aud.")
    jwks_uri: str | None = Field(
        default=None, description="Where the issuer's keys are (JWKS), by https; http on this machine only."
    )
    jwks_file: Path | None = Field(
        default=None,
        description="The file of the issuer's keys, in place of jwks_uri; read again when it changes.",
    )
    jwks_ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities to trust for jwks_uri instead of the system's."
    )
    max_key_age: Seconds = Field(
        default=86_400.0,
        ge=1,
        description="Seconds for which keys are good that cannot be fetched again.",
    )
    leeway: Seconds = Field(default=30.0, ge=0, description="Seconds by which clocks may differ.")
    namespace_claim: str = Field(
        default="namespace", description="The claim that names the namespace; empty: all are in default."
    )
    roles_claim: str = Field(default="roles", description="The claim that names the roles.")
    roles: dict[str, RoleName] = Field(
        default={name: name for name in get_args(RoleName)}, description="What the roles of tokens mean here."
    )

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if not self.issuer:
            if self.audience or self.jwks_uri or self.jwks_file:
                raise ValueError("tokens need an issuer")
            return self
        if not self.audience:
            raise ValueError("tokens need an audience: without it, tokens for others would be valid here")
        if (self.jwks_uri is None) == (self.jwks_file is None):
            raise ValueError("tokens need one of jwks_uri and jwks_file")
        return self

    @field_validator("jwks_uri")
    @classmethod
    def _is_encrypted(cls, uri: str | None) -> str | None:
        if uri is not None and not is_protected(uri):
            raise ValueError(
                "should be an https:// address: anybody who changes the keys on the way can make tokens"
            )
        return uri

    @property
    def claims(self) -> ClaimNames:
        """Which claims say what."""
        roles = {name: Role[role.upper()] for name, role in self.roles.items()}
        return ClaimNames(self.namespace_claim, self.roles_claim, roles)


class CertificateHolder(Group):
    """Whom a client certificate stands for."""

    namespace: Annotated[str, AfterValidator(checked_namespace)] = DEFAULT_NAMESPACE
    role: RoleName


class Auth(Group):
    """How the server finds out who calls. Where nothing is set, everybody may call."""

    api_keys_file: Path | None = Field(
        default=None,
        description="The file of API keys, as `flowgram key` writes it; read again when it changes.",
    )
    jwt: JWT = Field(default=JWT(), description="Which signed tokens are valid.")
    certificates: dict[Annotated[str, AfterValidator(holder_name)], CertificateHolder] = Field(
        default={}, description="Namespace and role by the subject of a client certificate."
    )

    @property
    def enabled(self) -> bool:
        """Whether calls need credentials."""
        return self.api_keys_file is not None or bool(self.jwt.issuer) or bool(self.certificates)

    @property
    def holders(self) -> dict[str, tuple[str, Role]]:
        """Namespace and role of the holders of certificates."""
        return {
            name: (holder.namespace, Role[holder.role.upper()]) for name, holder in self.certificates.items()
        }
