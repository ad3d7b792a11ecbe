"""Errors of the Temporal host.

TemporalError                the text is for operators
├── TemporalNotInstalled     the extra `temporal` is not installed
├── ConnectionSettingsInvalid    how to reach the cluster is not given as it has to be
├── EncryptionKeyInvalid     a key is no key, or there is none and that was not asked for
├── PayloadUnreadable        what the cluster holds is damaged, or of a later release
│   └── PayloadUndecipherable    it was encrypted with a key that is not here
└── HistoryDiverged          this version does not get to the events that a history has

What a caller of the service meets is in `flowgram_core.hosting.errors`.
"""


class TemporalError(Exception):
    """Base of all errors of the Temporal host. The text is for operators."""


class TemporalNotInstalled(TemporalError):
    """The extra `temporal` is not installed."""

    def __init__(self) -> None:
        super().__init__("the Temporal runtime needs more packages: pip install 'flowgram-server[temporal]'")


class ConnectionSettingsInvalid(TemporalError):
    """How to reach the cluster is not given as it has to be."""


class EncryptionKeyInvalid(TemporalError):
    """A key is no key, or there is none and that was not asked for."""


class PayloadUnreadable(TemporalError):
    """What the cluster holds is damaged, or of a later release."""


class PayloadUndecipherable(PayloadUnreadable):
    """What the cluster holds was encrypted with a key that is not here. Damage may look like it."""


class HistoryDiverged(TemporalError):
    """This version does not get to the events that a history has: the task stands still until a worker does."""
