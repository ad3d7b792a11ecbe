"""The secrets in the prepared inputs of an http node: their values replace their placeholders."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from flowgram_core.modeling import json_text
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.secret_references import SecretUses
from flowgram_core.nodes.http import request
from flowgram_core.nodes.workflow_secrets import OpenSecrets

_TEXTS: Final = {
    request.JSON: "body.json",
    request.RAW_TEXT: "body.rawText",
    request.BINARY: "body.binary",
}
_FORMS: Final = {request.FORM_DATA: "formData", request.FORM_URLENCODED: "xWwwFormUrlencoded"}


def with_secrets(inputs: JSONObject, uses: SecretUses, secrets: OpenSecrets) -> JSONObject:
    """The inputs with the values of secrets in headers, params and body.

    Args:
        inputs: As the node has prepared them.
        uses: Which secrets stand in which fields.
        secrets: Their values.

    Raises:
        NodeError: What stands beside a secret has a placeholder itself.
    """
    by_section: dict[str, dict[str, Sequence[str]]] = {}
    for field, names in uses.items():
        section, _, name = field.partition(".")
        by_section.setdefault(section, {})[name] = names
    filled = dict(inputs)
    for section in ("headers", "params"):
        filled[section] = _filled(inputs[section], by_section.get(section, {}), secrets)
    body, body_type = inputs["body"], inputs["bodyType"]
    if not isinstance(body, str) or not isinstance(body_type, str):
        return filled
    if in_text := uses.get(_TEXTS.get(body_type, "")):
        filled["body"] = secrets.fill(body, in_text, in_json=body_type == request.JSON)
    elif fields := by_section.get(_FORMS.get(body_type, "")):
        form = json_text.loads(body)
        filled["body"] = json_text.dumps(_filled(form, fields, secrets))
    return filled


def _filled(values: Any, fields: Mapping[str, Sequence[str]], secrets: OpenSecrets) -> Any:
    """Values by name with those of secrets; a field that was left out stays out."""
    if not fields or not isinstance(values, dict):
        return values
    return {
        name: secrets.fill(value, fields[name]) if name in fields and isinstance(value, str) else value
        for name, value in values.items()
    }
