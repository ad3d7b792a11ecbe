"""Deltas without secrets: what a model sends back of a key is masked, however it is cut into pieces."""

from collections.abc import Callable, Mapping, Sequence

from flowgram_core.hosting.secrets import mask, scrub
from flowgram_core.nodes.executor import CallContext


class ScrubbedContext:
    """The context of a call whose deltas are scrubbed.

    A piece that may be the beginning of a secret is held back until the next one shows whether it is.

    Args:
        context: The real context.
        secrets: Texts that no watcher may see; none of them is empty.
        known: More of them, with what is shown instead: they may become more while the call lasts.
    """

    def __init__(
        self,
        context: CallContext,
        secrets: Sequence[str],
        known: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.owner = context.owner
        self.task_id = context.task_id
        self.idempotency_key = context.idempotency_key
        self._emit: Callable[[str], None] = context.emit_delta
        self._secrets = {secret: mask(secret) for secret in secrets}
        self._known = known
        self._held = ""

    def emit_delta(self, text: str) -> None:
        """See `CallContext`."""
        secrets = {**self._secrets, **self._known()}
        text = scrub(self._held + text, secrets)
        held = max((_beginning(text, secret) for secret in secrets), default=0)
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
