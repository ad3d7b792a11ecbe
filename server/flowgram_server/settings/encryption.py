"""The setting group `encryption`: the keys with which the contents of tasks are stored."""

from pathlib import Path

from pydantic import Field, field_validator

from flowgram_core.journal.encryption import KeyInvalid, Keys, is_key_name
from flowgram_server.settings.groups import Group


class Encryption(Group):
    """With which keys the contents of tasks are stored. Without any, they are stored as they are."""

    key_files: dict[str, Path] = Field(
        default={},
        description="Files with the base64 of 32 bytes, by the name of the key; the first one encrypts, all decrypt.",
    )

    @field_validator("key_files")
    @classmethod
    def _are_keys(cls, files: dict[str, Path]) -> dict[str, Path]:
        for name in files:
            if not is_key_name(name):
                raise ValueError("the name of a key has up to 64 letters, digits, dots, _ and -")
        try:
            Keys(_texts(files))
        except KeyInvalid as error:
            raise ValueError(str(error)) from None
        return files

    def texts(self) -> dict[str, str]:
        """Base64 of the keys, by name."""
        return _texts(self.key_files)

    def keys(self) -> Keys | None:
        """The keys; None without any."""
        return Keys(self.texts()) if self.key_files else None


def _texts(files: dict[str, Path]) -> dict[str, str]:
    """What the files hold. Raises `ValueError`, which names the file."""
    texts = {}
    for name, file in files.items():
        try:
            texts[name] = file.read_text(encoding="ascii").strip()
        except OSError as error:
            raise ValueError(f"{file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{file}: no base64") from None
    return texts
