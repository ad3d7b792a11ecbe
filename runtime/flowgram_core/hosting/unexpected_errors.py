"""Unexpected errors of node types: logged with their traceback, without the secrets of the node's inputs."""

import logging
import traceback
from collections.abc import Iterable

from flowgram_core.hosting.secrets import scrub
from flowgram_core.modeling.json_text import dumps

_log = logging.getLogger(__name__)


def log_unexpected_error(error: BaseException, secrets: Iterable[str], **fields: str) -> None:
    """Logs an exception of a node type that is not meant for users.

    Args:
        error: The exception; its causes are logged as well.
        secrets: Texts to remove from it.
        fields: Further fields of the log line.
    """
    # Not `exc_info`: a formatter would show the secrets in the exception's text.
    shown = scrub("".join(traceback.format_exception(error)).rstrip(), _as_written(secrets))
    _log.error("a node type raised", extra={"exception": shown, **fields})


def _as_written(secrets: Iterable[str]) -> set[str]:
    """The texts as they are, and as Python and JSON quote them."""
    return {form for text in secrets for form in (text, repr(text)[1:-1], dumps(text)[1:-1])}
