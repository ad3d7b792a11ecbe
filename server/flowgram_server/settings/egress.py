"""The setting group `egress`: what http and llm nodes may connect to."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from flowgram_core.nodes.network.egress_rules import EgressRule
from flowgram_core.nodes.network.proxies import is_proxy


class Egress(BaseModel):
    """What http and llm nodes may connect to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="What may be connected to: rules; none: everything that is not denied."
    )
    deny: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="What may not be connected to: rules."
    )
    proxy: SecretStr = Field(
        default=SecretStr(""), description="The proxy of all requests, with its scheme; empty: none."
    )

    @field_validator("allow", "deny", mode="before")
    @classmethod
    def _split(cls, rules: Any) -> Any:
        return [rule for rule in rules.split(",") if rule.strip()] if isinstance(rules, str) else rules

    @field_validator("allow", "deny")
    @classmethod
    def _are_rules(cls, rules: tuple[str, ...]) -> tuple[str, ...]:
        for rule in rules:
            EgressRule.parse(rule)
        return rules

    @field_validator("proxy")
    @classmethod
    def _is_proxy(cls, proxy: SecretStr) -> SecretStr:
        address = proxy.get_secret_value()
        if address and not ("://" in address and is_proxy(address)):
            raise ValueError("should be the address of a proxy, such as http://proxy:3128")
        return proxy

    def allowing(self) -> tuple[EgressRule, ...]:
        """The rules of what is allowed."""
        return tuple(map(EgressRule.parse, self.allow))

    def denying(self) -> tuple[EgressRule, ...]:
        """The rules of what is denied."""
        return tuple(map(EgressRule.parse, self.deny))

    def proxy_address(self) -> str | None:
        """The address of the proxy; None without one."""
        return self.proxy.get_secret_value() or None
