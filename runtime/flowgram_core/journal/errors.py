"""Errors of the journal.

JournalError
├── JournalClosed             used after it was closed
├── JournalUnavailable        the file cannot be opened, read or written; the text is for operators
│   ├── JournalDamaged            its content is not what was written
│   └── JournalUndecipherable     a part of it is encrypted with a key that is not there
├── JournalFileExists         a backup or a journal would overwrite a file
└── WriteRejected             this write was not applied; others are not affected
    ├── DuplicateRequest          the request id belongs to another task
    └── InvalidWrite              contradicts the log: a gap, an unknown or a finished task
"""


class JournalError(Exception):
    """Base of all errors of the journal."""


class JournalClosed(JournalError):
    """The journal was closed."""

    def __init__(self) -> None:
        super().__init__("the journal is closed")


class JournalUnavailable(JournalError):
    """The journal cannot be opened, read or written. The text is for operators: it names the file, never content."""


class JournalDamaged(JournalUnavailable):
    """The journal's content is not what was written."""


class JournalUndecipherable(JournalUnavailable):
    """A part of the journal is encrypted with a key that is not there."""


class JournalFileExists(JournalError):
    """A backup, or a journal that is restored, would overwrite a file. The text is for operators."""


class WriteRejected(JournalError):
    """A write cannot be applied. Nothing of it was stored, and other writes are not affected."""


class DuplicateRequest(WriteRejected):
    """A request id belongs to a task already.

    Attributes:
        request_id: The request id.
    """

    def __init__(self, request_id: str) -> None:
        super().__init__(f"a task with the request id {request_id!r} exists already")
        self.request_id = request_id


class InvalidWrite(WriteRejected):
    """A write contradicts the log: a gap, a repeat, an unknown or a finished task."""
