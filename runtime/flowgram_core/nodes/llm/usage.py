"""Token usage: the numbers of tokens that a model API reports with an answer."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flowgram_core.modeling.json_text import JSONObject

_MAX_TOKENS = 2**40
"""More is no number of tokens."""


class TokenUsage(NamedTuple):
    """The tokens of one answer; None where the API does not say.

    Attributes:
        input: Of the request.
        output: Of the answer.
    """

    input: int | None = None
    output: int | None = None


UsageListener = Callable[[str, TokenUsage], None]
"""Is notified of each answer: the name of the model as the request has it, and what was used. It must not raise."""


def usage_of(completion: JSONObject) -> TokenUsage | None:
    """What a completion, or a chunk of one, says of its tokens; None if nothing."""
    usage = completion.get("usage")
    if not isinstance(usage, dict):
        return None
    return TokenUsage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _MAX_TOKENS else None
