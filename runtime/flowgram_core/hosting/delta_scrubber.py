"""Deltas without secrets: what a model sends back of a key is masked, however it is cut into pieces."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from flowgram_core.hosting.secrets import mask, scrub
from flowgram_core.nodes.executor import CallContext
from flowgram_core.nodes.secret_texts import SecretTexts


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
        known: Callable[[], SecretTexts] = SecretTexts,
    ) -> None:
        self.owner = context.owner
        self.task_id = context.task_id
        self.idempotency_key = context.idempotency_key
        self._emit: Callable[[str], None] = context.emit_delta
        self._secrets = _texts_of(tuple(secrets))
        self._known = known
        self._held = ""

    def emit_delta(self, text: str) -> None:
        """See `CallContext`."""
        known, own = self._known(), self._secrets
        if self._held:
            text = self._held + text
        if own.any_in(text) or (known and known.any_in(text)):
            text = scrub(text, {**own, **known})
        held = own.beginning(text)
        if known:
            held = max(held, known.beginning(text))
        if not held:
            self._held = ""
            if text:
                self._emit(text)
            return
        self._held = text[len(text) - held :]
        if held < len(text):
            self._emit(text[: len(text) - held])

    def flush(self) -> None:
        """The call has ended: what was held back is no secret."""
        if self._held:
            self._emit(self._held)
            self._held = ""


@lru_cache(maxsize=64)
def _texts_of(secrets: tuple[str, ...]) -> SecretTexts:
    """What is found of secrets. Calls have the same ones again and again; regular expressions keep them as long."""
    return SecretTexts({secret: mask(secret) for secret in secrets})
