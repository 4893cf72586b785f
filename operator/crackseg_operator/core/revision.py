"""What a revision is: the part of the spec that changes its pods, and the hash that names it.

Called by `plan`. A revision's Deployment is a function of its `Source` alone, so any revision whose source is known
can be built again after the spec has moved on. Knows no cluster.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from crackseg_operator.api.spec import ModelSource, Serving
from crackseg_operator.core.quantity import canonical

_DIGITS: Final = 10


@dataclass(frozen=True, slots=True)
class Source:
    """What the pods of one revision are made of."""

    revision: str
    model: ModelSource
    serving: Serving
    image: str  # what runs: the spec's own image, or the operator's default of the day the revision was first wanted
    content: Mapping[str, Any]  # {model, serving} without what is absent or default: what is hashed

    def to_json(self) -> str:
        """One line that `read_source` reads."""
        return json.dumps({"image": self.image, **self.content}, sort_keys=True, separators=(",", ":"))


def source_of(model: ModelSource, serving: Serving, default_image: str) -> Source:
    """The source that a spec names. The default image is no part of the name: a new operator rolls no model."""
    content = {
        part: compact
        for part, value in (("model", model), ("serving", serving))
        if (compact := _compact(value.model_dump(mode="json", by_alias=True, exclude_defaults=True)))
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    revision = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return Source(revision, model, serving, serving.image or default_image, content)


def read_source(text: str | None) -> Source | None:
    """The source in a Deployment's annotation; None where there is none, or where a hand has changed it."""
    try:
        fields = json.loads(text or "")
        model, serving = (
            ModelSource.model_validate(fields["model"]),
            Serving.model_validate(fields.get("serving") or {}),
        )
        return replace(source_of(model, serving, ""), image=str(fields["image"]))
    except (ValueError, KeyError, TypeError):  # pydantic's error is a ValueError
        return None


def _compact(value: Any) -> Any:
    """Without empty objects and lists, with quantities in one spelling: equal meaning, equal hash."""
    if isinstance(value, dict):
        out = {key: _compact(child) for key, child in value.items()}
        if isinstance(resources := out.get("resources"), dict):
            out["resources"] = {
                kind: {name: canonical(amount) for name, amount in amounts.items()}
                for kind, amounts in resources.items()
            }
        return {key: child for key, child in out.items() if child not in ({}, [], None)}
    if isinstance(value, list):
        return [_compact(child) for child in value]
    return value
