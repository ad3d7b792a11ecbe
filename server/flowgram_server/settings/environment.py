"""Settings in environment variables: recognizing them, and hints for misspelt ones."""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import TypeGuard

from pydantic import BaseModel

from flowgram_core.compiled import SWITCH

PREFIX = "FLOWGRAM_"
"""What the name of every variable of this project begins with."""

CONFIG_VARIABLE = "FLOWGRAM_CONFIG"
"""The environment variable that names the TOML file where no flag does."""

_OTHERS = {CONFIG_VARIABLE, SWITCH, "FLOWGRAM_TARGET", "FLOWGRAM_TOKEN", "FLOWGRAM_REFERENCE"}
"""What is read elsewhere: by the import of compiled modules, the command line, the gateways, the tests."""

_FIELD = re.compile(r'for field "(\w+)"')

_ORCHESTRATORS = re.compile(
    r"FLOWGRAM_(.+_)?(SERVICE_(HOST|PORT)(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes and Docker give to every container beside a service that is called flowgram, or begins so."""


def unknown_variables(environment: Iterable[str], settings: type[BaseModel]) -> list[str]:
    """What is wrong with the names of variables: those that look like settings and are none, a text for each.

    Args:
        environment: The names of all variables. Case does not matter.
        settings: The model of the settings.
    """
    known = list(_names(settings))
    tables = tuple(
        f"{PREFIX}{name}__".upper()
        for name, field in settings.model_fields.items()
        if _is_model(field.annotation) or str(field.annotation).startswith("dict[")
    )
    problems = []
    for given in sorted(environment):
        name = given.upper()
        if (
            name.startswith(PREFIX)
            and name.removeprefix(PREFIX) not in known
            and name not in _OTHERS
            and not name.startswith(tables)  # what is unknown in a table is found with its values
            and not _ORCHESTRATORS.fullmatch(name)
        ):
            closest = get_close_matches(name.removeprefix(PREFIX), known, n=1)
            hint = f": did you mean {PREFIX}{closest[0]}?" if closest else ""
            problems.append(f"{given}: there is no such setting{hint}")
    return problems


def problem_with(location: Sequence[int | str], kind: str, message: str, settings: type[BaseModel]) -> str:
    """What is wrong with a setting, as pydantic found it: where, of which kind, and in which words."""
    name = ".".join(map(str, location))
    if kind != "extra_forbidden":
        text = message.removeprefix("Value error, ")
        return f"{name}: {text}" if name else text  # of several settings together
    known = [known.lower().replace("__", ".") for known in _names(settings)]
    closest = get_close_matches(name, known, n=1)
    hint = f": did you mean {closest[0]}?" if closest else ""
    return f"{name}: there is no such setting{hint}"


def undecoded(message: str) -> str:
    """What is wrong with a variable whose value is to be JSON and is not, as pydantic says it."""
    field = _FIELD.search(message)
    if field is None:
        return message
    name = f"{PREFIX}{field[1]}".upper()
    hint = f"; the address of the REST gateway is {PREFIX}HTTP_LISTEN" if field[1] == "http" else ""
    return f"{name}: should be a JSON object{hint}"


def _names(settings: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The variables of all settings, groups and what is in them, without what all begin with."""
    for name, field in settings.model_fields.items():
        yield f"{prefix}{name}".upper()
        if _is_model(field.annotation):
            yield from _names(field.annotation, f"{prefix}{name}__")


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
