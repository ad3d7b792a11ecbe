"""Mistakes of node types: logged with the place that they come from, and without the secrets that the node was given."""

import logging
import traceback
from collections.abc import Iterable

from flowgram_core.hosting.secrets import scrub
from flowgram_core.modeling.json_text import dumps

_log = logging.getLogger(__name__)


def log_unexpected_error(error: BaseException, secrets: Iterable[str], **fields: str) -> None:
    """Logs what a node type raised that is not meant for users.

    Args:
        error: What it raised; what that was raised from is logged as well.
        secrets: Texts that may not be seen in it.
        fields: What else the line tells.
    """
    # The exception itself is not handed on: whoever formats it would show the secrets that its text holds.
    shown = scrub("".join(traceback.format_exception(error)).rstrip(), _as_written(secrets))
    _log.error("a node type raised", extra={"exception": shown, **fields})


def _as_written(secrets: Iterable[str]) -> set[str]:
    """Texts as they are, and as Python and JSON quote them."""
    return {form for text in secrets for form in (text, repr(text)[1:-1], dumps(text)[1:-1])}
