"""Setting groups of what keeps a server safe on a network: authentication."""

from pathlib import Path

from pydantic import Field

from flowgram_server.settings.groups import Group


class Auth(Group):
    """How the server finds out who calls. Where nothing is set, everybody may call."""

    api_keys_file: Path | None = Field(
        default=None,
        description="The file of API keys, as `flowgram key` writes it; read again when it changes.",
    )

    @property
    def enabled(self) -> bool:
        """Whether calls need credentials."""
        return self.api_keys_file is not None
