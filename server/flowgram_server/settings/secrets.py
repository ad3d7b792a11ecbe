"""The settings `secrets.NAME`: secrets that workflows may use."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from flowgram_core.modeling.secret_references import is_secret_name
from flowgram_core.nodes.workflow_secrets import SecretHost, SecretSource
from flowgram_server.settings.groups import Group


def _secret_name(name: str) -> str:
    if not is_secret_name(name):
        raise ValueError("the name of a secret has up to 64 letters, digits, _ and -")
    return name


SecretName = Annotated[str, AfterValidator(_secret_name)]


class Secret(Group):
    """A secret that workflows may use."""

    file: Path | None = Field(
        default=None, description="The file that holds the value; read again when it changes."
    )
    env: str = Field(default="", description="Or the environment variable that holds it.")
    hosts: tuple[str, ...] = Field(min_length=1, description="The hosts that the value may be sent to.")
    namespaces: frozenset[str] | None = Field(
        default=None, description="The namespaces whose tasks may use it; without it, all."
    )

    @field_validator("hosts", mode="before")
    @classmethod
    def _split(cls, hosts: Any) -> Any:
        return [host for host in hosts.split(",") if host.strip()] if isinstance(hosts, str) else hosts

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            SecretHost.parse(host)
        return hosts

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.file is None) == (not self.env):
            raise ValueError("should have either file or env")
        return self

    def source(self) -> SecretSource:
        """The secret as the runtime takes it."""
        hosts = tuple(map(SecretHost.parse, self.hosts))
        return SecretSource(hosts, self.file, self.env, self.namespaces)
