"""The audit of calls: what is written of each call of the contract when it has ended."""

from flowgram_server.auth.audit import REFUSALS, AuditLog
from flowgram_server.rpc.access_log import shown_peer
from flowgram_server.rpc.observed_calls import Call, CallListener, Method


class AuditedCalls:
    """Writes a line for each call of a service; see `ObservedServer`.

    Args:
        audit: Where.
        service: The service; calls of others, such as that of health, are nobody's decision.
    """

    counts_messages = False

    def __init__(self, audit: AuditLog, service: str) -> None:
        self._audit = audit
        self._service = service

    def listener(self, method: Method) -> CallListener | None:
        """What writes of the calls of a method."""
        return _Lines(method.name, self._audit) if method.service == self._service else None


class _Lines:
    def __init__(self, method: str, audit: AuditLog) -> None:
        self._method = method
        self._audit = audit

    def begun(self, call: Call) -> str:
        """The peer, which a call has no more once it has ended."""
        return shown_peer(call.context.peer())

    def ended(self, call: Call, given: str) -> None:
        """Writes the line."""
        notes = call.notes
        reason = notes.get("reason")
        self._audit.write(
            principal=notes.get("principal"),
            namespace=notes.get("namespace"),
            peer=notes.get("caller", given),
            method=self._method,
            allowed=reason not in REFUSALS,
            **({"reason": reason} if reason else {}),
            **({"task_id": notes["task_id"]} if "task_id" in notes else {}),
            status=call.code.name,
        )

    def received(self) -> None:
        """Not of interest."""

    def sent(self) -> None:
        """Not of interest."""
