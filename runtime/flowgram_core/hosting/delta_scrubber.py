"""Deltas without secrets: what a model sends back of a key is masked, however it is cut into pieces."""

from collections.abc import Callable, Sequence

from flowgram_core.hosting.secrets import scrub
from flowgram_core.nodes.executor import CallContext


class ScrubbedContext:
    """The context of a call whose deltas are scrubbed.

    A piece that may be the beginning of a secret is held back until the next one shows whether it is.

    Args:
        context: The real context.
        secrets: Texts that no watcher may see; none of them is empty.
    """

    def __init__(self, context: CallContext, secrets: Sequence[str]) -> None:
        self.owner = context.owner
        self.task_id = context.task_id
        self.idempotency_key = context.idempotency_key
        self._emit: Callable[[str], None] = context.emit_delta
        self._secrets = secrets
        self._held = ""

    def emit_delta(self, text: str) -> None:
        """See `CallContext`."""
        text = scrub(self._held + text, self._secrets)
        held = max(_beginning(text, secret) for secret in self._secrets)
        self._held = text[len(text) - held :]
        if held < len(text):
            self._emit(text[: len(text) - held])

    def flush(self) -> None:
        """The call has ended: what was held back is no secret."""
        if self._held:
            self._emit(self._held)
            self._held = ""


def _beginning(text: str, secret: str) -> int:
    """How many characters at the end of a text are the beginning of a secret."""
    start = max(0, len(text) - len(secret) + 1)
    while (start := text.find(secret[0], start)) >= 0:
        if secret.startswith(text[start:]):
            return len(text) - start
        start += 1
    return 0
