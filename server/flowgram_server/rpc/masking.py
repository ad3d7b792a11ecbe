"""Schemas and inputs of tasks as they may be shown: JSON texts with the secrets masked."""

from typing import Any

from flowgram_core.hosting.secrets import Secrets
from flowgram_core.modeling.json_text import dumps, loads


def masked_schema(schema: str, secrets: Secrets) -> str:
    """The text of a valid schema without the constants, templates and defaults that are secret."""
    document: Any = loads(schema, max_members=None)
    return dumps(secrets.mask_data(document))


def masked_inputs(inputs: str, secrets: Secrets) -> str:
    """The text of valid inputs without the values that are secret, in nested objects too."""
    values: Any = loads(inputs, max_members=None)
    shown = secrets.mask_data(values)
    return inputs if shown == values else dumps(shown)
