"""What the commands say of outcomes and of the client's errors: texts, and exit statuses."""

from flowgram_client import (
    DeadlineExceededError,
    FlowgramError,
    InvalidArgumentError,
    InvalidValueError,
    RequestError,
    Result,
    Status,
    UnauthenticatedError,
    UnavailableError,
)

from . import json_output
from .exits import CommandError, ExitStatus
from .formatting import clean, duration, line
from .styles import in_style_of

_OUTCOMES = {
    Status.SUCCEEDED: ExitStatus.SUCCEEDED,
    Status.FAILED: ExitStatus.FAILED,
    Status.CANCELED: ExitStatus.CANCELED,
}


def of_outcome(status: Status) -> ExitStatus:
    """The exit status for a task in this status."""
    return _OUTCOMES.get(status, ExitStatus.UNFINISHED)


def outcome_lines(result: Result) -> list[str]:
    """How a task ended, in styles."""
    time_cost = f" in {duration(result.time_cost)}" if result.time_cost is not None else ""
    lines = [f"{in_style_of(result.status)}{time_cost}"]
    lines += [f"  {said(message.node_id, message.text)}" for message in result.errors]
    if result.succeeded:
        lines.append(json_output.dump(result.outputs, indent=2))
    return lines


def said(node_id: str, text: str) -> str:
    """A message, after the node that it is of, if it is of one."""
    return f"{line(node_id)}: {clean(text)}" if node_id else clean(text)


def explain(error: FlowgramError, target: str) -> CommandError:
    """The message and exit status for an error of the client."""
    if isinstance(error, InvalidValueError):
        return CommandError(str(error), ExitStatus.INVALID)
    if isinstance(error, UnavailableError) and not error.reason:
        hint = f"cannot reach {target}: {error.message or 'no answer'}\nStart a server with `flowgram serve`, or name one with --target."
        return CommandError(hint, ExitStatus.UNREACHABLE)
    if isinstance(error, UnavailableError | DeadlineExceededError):
        return CommandError(f"{target}: {error}", ExitStatus.UNREACHABLE)
    if isinstance(error, UnauthenticatedError):
        return CommandError(
            f"{error}\n--token, or FLOWGRAM_TOKEN in the environment, says who calls.", ExitStatus.REFUSED
        )
    if isinstance(error, InvalidArgumentError):
        return CommandError(str(error), ExitStatus.INVALID)
    if isinstance(error, RequestError):
        advice = f" (try again in {error.retry_after:g} s)" if error.retry_after else ""
        return CommandError(f"{error}{advice}", ExitStatus.REFUSED)
    return CommandError(str(error), ExitStatus.REFUSED)
