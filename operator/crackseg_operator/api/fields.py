"""What every schema object is made of: the base model, the bounded texts, the markers of lists and rules.

Imported by `spec` and `status`. Knows how a constraint reaches the API server: bounds go into the schema as they
are, patterns become CEL with a sentence, because "should match '^[a-z0-9]…'" tells a person nothing to do.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import override

#: Keyword beside a `pattern`: what the text must be, as the end of the sentence "spec.x.y must be …".
MUST_BE = "x-must-be"
RULES = "x-kubernetes-validations"


class Rule(NamedTuple):
    """A CEL rule on an object: what must hold, and the sentence that names the field and the remedy."""

    expression: str
    sentence: str
    field: str = ""  # the field that the API server's error points at, such as ".uri"; empty: the object

    def to_schema(self) -> dict[str, str]:
        """One entry of x-kubernetes-validations."""
        entry = {"rule": self.expression, "message": self.sentence}
        return entry | ({"fieldPath": self.field, "reason": "FieldValueInvalid"} if self.field else {})


class Model(BaseModel):
    """Base of every schema object: camelCase in YAML, snake_case in Python, frozen, docstrings as descriptions."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, use_attribute_docstrings=True, extra="ignore"
    )
    #: CEL rules on this object.
    cel: ClassVar[tuple[Rule, ...]] = ()

    @classmethod
    @override
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Add what pydantic leaves out of a schema: the CEL rules, and defaults that are made by a factory."""
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        if cls.cel:
            schema[RULES] = [rule.to_schema() for rule in cls.cel]
        for name, field in cls.model_fields.items():
            default = _made_default(field)
            if default is not None:
                schema["properties"][field.alias or name]["default"] = default
        return reference


def _made_default(field: FieldInfo) -> Any:
    """The default of a field with a factory, or None where it is an empty list or map (which is better absent).

    An object's default is written out: the API server judges rules on it before it fills in the fields' own defaults.
    """
    if field.default_factory is None:
        return None
    value = field.get_default(call_default_factory=True, validated_data={})
    return to_yaml(value) or ({} if isinstance(value, Model) else None)


def to_yaml(value: Any) -> Any:
    """A model as a person would write it in YAML: camelCase, without what is absent or empty."""
    if isinstance(value, Model):
        value = value.model_dump(by_alias=True, exclude_none=True)
    if isinstance(value, dict):
        plain = {key: to_yaml(item) for key, item in value.items()}
        return {key: item for key, item in plain.items() if item not in ({}, [])}
    return [to_yaml(item) for item in value] if isinstance(value, list) else value


def _text(pattern: str, must_be: str, longest: int) -> FieldInfo:
    info: FieldInfo = Field(max_length=longest, pattern=pattern, json_schema_extra={MUST_BE: must_be})
    return info


_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"

DNSLabel = Annotated[
    str, _text(f"^{_LABEL}$", "a name of lower-case letters, digits and '-', such as pavement-models", 63)
]
"""RFC 1123 label: the name of a claim, of a namespace."""

DNSName = Annotated[
    str,
    _text(
        rf"^{_LABEL}(\.{_LABEL})*$",
        "a name of lower-case letters, digits, '-' and '.', starting and ending with a letter or digit",
        253,
    ),
]
"""RFC 1123 subdomain: the name of most Kubernetes objects."""

HostName = Annotated[
    str,
    _text(
        rf"^{_LABEL}(\.{_LABEL})*$", "a DNS name in lower case without scheme or port, such as cracks.example.org", 253
    ),
]
"""A fully qualified host name."""

SourceHost = Annotated[
    str,
    _text(
        r"^(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*[a-z]([-a-z0-9]*[a-z0-9])?(:[0-9]{1,5})?$",
        "a DNS name in lower case such as photos.example.org, *.example.org or photos.example.org:8443, without scheme or path",
        253,
    ),
]
"""A host, or all hosts one label below a name; perhaps with a port."""

VersionText = Annotated[
    str,
    _text(
        "^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        "letters, digits, '-', '_' and '.', starting and ending with a letter or digit, such as \"7.0.0\" (it becomes a label)",
        63,
    ),
]
"""A version that is also a label's value."""

SHA256 = Annotated[str, _text("^[a-f0-9]{64}$", "the 64 lower-case hex digits that sha256sum prints", 64)]
"""A SHA-256 digest in hex."""

ImageReference = Annotated[
    str,
    _text(
        r"^[a-z0-9][-a-z0-9._:/]*[a-z0-9]([:][A-Za-z0-9_][-A-Za-z0-9_.]*)?(@sha256:[a-f0-9]{64})?$",
        "an image reference such as registry.example/crackseg-serving:1.0, with a tag or a digest",
        512,
    ),
]
"""A container image."""

_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
#: CEL: the text `k` is the key of a label or an annotation.
IS_LABEL_KEY = f"k.size() <= 317 && k.matches(r'{_KEY}')"

LabelKey = Annotated[
    str,
    _text(
        _KEY,
        "a label's key such as example.org/gpu: an optional DNS name and '/', then letters, digits, '-', '_' and '.'",
        317,
    ),
]
"""The key of a label or an annotation."""

LabelValue = Annotated[
    str,
    _text(
        "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        "a label's value: letters, digits, '-', '_' and '.', starting and ending with a letter or digit",
        63,
    ),
]
"""The value of a label."""

Quantity = Annotated[int | str, Field(json_schema_extra={"x-kubernetes-int-or-string": True})]
"""A resource quantity: 2, 500m, 1Gi."""

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339 in UTC with whole seconds."""

Generation = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
"""A metadata.generation."""

ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}
"""A list that is replaced whole."""


def keyed_by(key: str) -> dict[str, Any]:
    """A list that is merged by one key."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
