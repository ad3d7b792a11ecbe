"""Loading of the server's settings: from flags, the environment, and a TOML file.

Flags override the environment, which overrides the file, which overrides the defaults. They spell a setting alike:
`--max-nodes`, `FLOWGRAM_MAX_NODES`, `max_nodes`; one of a group is `FLOWGRAM_LLM__READ_TIMEOUT`, and `read_timeout` in the
table `[llm]`.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsError

from flowgram_server.settings.environment import (
    CONFIG_VARIABLE,
    problem_with,
    undecoded,
    unknown_variables,
)
from flowgram_server.settings.errors import InvalidSettings
from flowgram_server.settings.server import Settings


def load_settings(config: Path | None = None, flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings from flags, the environment and a TOML file.

    Args:
        config: The file; None: the one that `FLOWGRAM_CONFIG` names, if it does.
        flags: What was given by hand, by the names of `Settings`; None as a value stands for "not given".

    Raises:
        InvalidSettings: A setting is not as it should be, or unknown, or the file cannot be read.
    """
    if config is None and (named := os.environ.get(CONFIG_VARIABLE)):
        config = Path(named)
    table = {} if config is None else _read(config)

    class WithFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, table)

    problems = unknown_variables(os.environ, Settings)
    try:
        settings = WithFile(**{name: value for name, value in (flags or {}).items() if value is not None})
    except ValidationError as error:
        problems += [
            problem_with(found["loc"], found["type"], found["msg"], Settings) for found in error.errors()
        ]
    except SettingsError as error:
        problems.append(undecoded(str(error)))
    else:
        if not problems:
            return settings
    raise InvalidSettings("\n".join(problems))


def _read(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidSettings(f"{config}: {error.strerror}") from None
    except ValueError as error:  # not UTF-8, or not TOML
        raise InvalidSettings(f"{config}: {error}") from None
