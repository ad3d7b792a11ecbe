"""Setting groups of what keeps a server safe on a network: TLS and authentication."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from flowgram_server.auth.tls import TLSFiles
from flowgram_server.settings.groups import Group


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


class Auth(Group):
    """How the server finds out who calls. Where nothing is set, everybody may call."""

    api_keys_file: Path | None = Field(
        default=None,
        description="The file of API keys, as `flowgram key` writes it; read again when it changes.",
    )

    @property
    def enabled(self) -> bool:
        """Whether calls need credentials."""
        return self.api_keys_file is not None
