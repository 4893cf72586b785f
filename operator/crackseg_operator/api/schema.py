"""From a pydantic model to the structural schema that Kubernetes accepts.

Called by `crd`. Pure: a class in, a plain dict out. A structural schema has no references, no titles, no null
unions; every integer has a format, every list a type. What a pattern means is said by CEL in a sentence.
"""

from __future__ import annotations

from typing import Any

from crackseg_operator.api.fields import MUST_BE, RULES, Model

Schema = dict[str, Any]

_DROPPED = {"title", "$defs", MUST_BE}


def structural(model: type[Model], path: str, *, enforced: bool = True) -> Schema:
    """The schema of a model found at a path such as `spec`.

    Not enforced means described only, without defaults and rules: for status, which the operator alone writes and
    which must come back from the API server exactly as it was sent.
    """
    raw = model.model_json_schema(by_alias=True)
    return _object(raw, raw.get("$defs", {}), path, enforced=enforced)


def _object(raw: Schema, definitions: Schema, path: str, *, enforced: bool) -> Schema:
    node = _flat(raw, definitions)
    out = {key: value for key, value in node.items() if key not in _DROPPED}
    if "properties" in node:
        out["properties"] = {
            name: _object(child, definitions, f"{path}.{name}", enforced=enforced)
            for name, child in node["properties"].items()
        }
    for key, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(node.get(key), dict):
            out[key] = _object(node[key], definitions, path + suffix, enforced=enforced)
    if node.get("type") == "integer":
        out.setdefault("format", "int32")
    _say_pattern(out, node.get(MUST_BE), path)
    if not enforced:
        for key in ("default", RULES):
            out.pop(key, None)
    return {key: out[key] for key in sorted(out, key=_position)}


def _position(key: str) -> tuple[int, str]:
    """What a reader looks for first stands first, the longest last."""
    first, last = ("description", "type", "format", "default"), ("required", "properties", "items", RULES)
    if key in first:
        return first.index(key), key
    return (20 + last.index(key) if key in last else 10), key


def _flat(raw: Schema, definitions: Schema) -> Schema:
    """Follow a reference, unwrap Optional, and turn a constant into an enum of one."""
    node = dict(raw)
    if "$ref" in node:
        node = {**definitions[node.pop("$ref").rsplit("/", 1)[1]], **node}
    options = [option for option in node.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        del node["anyOf"]
        node = {**_flat(options[0], definitions), **node}
    if node.get("default", ...) is None:
        del node["default"]
    if "const" in node:
        node["enum"] = [node.pop("const")]
    return node


def _say_pattern(out: Schema, must_be: str | None, path: str) -> None:
    """Replace a pattern by a CEL rule with the same meaning and a sentence."""
    if must_be is None:
        return
    pattern = out.pop("pattern")
    rule = {"rule": f"self.matches(r'{pattern}')", "message": f"{path} must be {must_be}"}
    out[RULES] = [rule, *out.get(RULES, ())]
