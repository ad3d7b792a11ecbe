"""The audit of calls: writes the audit line of each call of the contract when the call has ended."""

from collections.abc import Mapping

from grpc import StatusCode

from flowgram_server.auth.audit import REFUSALS, AuditLog, quoted
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
        return call.context.peer()

    def ended(self, call: Call, given: str) -> None:
        """Adds the line."""
        self._audit.write_later(self._members, (call.notes, given, call.code))

    def _members(self, decision: tuple[Mapping[str, str], str, StatusCode]) -> str:
        """The line of a call, but for its time. Put together by hand: there is one for each call, and it is nearly the same."""
        notes, peer, code = decision
        reason, task_id = notes.get("reason"), notes.get("task_id")
        why = f',"reason":{quoted(reason)}' if reason else ""
        task = f',"task_id":{quoted(task_id)}' if task_id is not None else ""
        return (
            f'"principal":{quoted(notes.get("principal"))},"namespace":{quoted(notes.get("namespace"))}'
            f',"peer":{quoted(notes.get("caller") or shown_peer(peer))},"method":"{self._method}"'
            f',"allowed":{"false" if reason in REFUSALS else "true"}{why}{task},"status":"{code.name}"'
        )

    def received(self) -> None:
        """Not of interest."""

    def sent(self) -> None:
        """Not of interest."""
