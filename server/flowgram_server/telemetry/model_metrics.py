"""Metrics of model APIs: the tokens that they say they used."""

from typing import Final

from prometheus_client import CollectorRegistry, Histogram

from flowgram_core.nodes.llm.usage import TokenUsage
from flowgram_server.telemetry.sources import OTHER

_TOKENS: Final = tuple(4**power for power in range(14))
"""The bounds that OpenTelemetry's conventions for generative AI name."""

_MAX_MODELS: Final = 50
_MAX_NAME: Final = 100


class ModelMetrics:
    """Counts tokens.

    Args:
        registry: Where the metric is registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens that model APIs say they used, of requests (input) and of answers (output).",
            ("gen_ai_operation_name", "gen_ai_token_type", "gen_ai_request_model"),
            buckets=_TOKENS,
            registry=registry,
        )
        self._models: set[str] = set()

    def used_tokens(self, model: str, usage: TokenUsage) -> None:
        """A model has answered. The first models get labels of their own."""
        for token_type, tokens in zip(("input", "output"), usage, strict=True):
            if tokens is not None:
                self._tokens.labels("chat", token_type, self._label(model)).observe(tokens)

    def _label(self, model: str) -> str:
        if model not in self._models:
            if len(self._models) >= _MAX_MODELS or len(model) > _MAX_NAME:
                return OTHER
            self._models.add(model)
        return model
