"""Names, labels, owner: the metadata of every child, in one place.

Called by every builder of this room. Knows the model's identity and nothing of rollouts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from crackseg_operator.api.names import (
    ANNOTATION_APPLIED,
    API_VERSION,
    APP_NAME,
    KIND,
    LABEL_INSTANCE,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    LABEL_REVISION,
    LABEL_VERSION,
    MANAGED_BY,
)
from crackseg_operator.core.observed import ObservedModel
from crackseg_operator.core.revision import Source

Object = dict[str, Any]

_DIGITS: Final = 16


def revision_name(model: ObservedModel, revision: str) -> str:
    """The name of a revision's Deployment and Service."""
    return f"{model.name}-{revision}"


def selector(model: ObservedModel, revision: str | None = None) -> dict[str, str]:
    """The labels that select the model's pods: of one revision, or of all."""
    labels = {LABEL_INSTANCE: model.name, LABEL_NAME: APP_NAME}
    return labels | ({LABEL_REVISION: revision} if revision else {})


def labels(model: ObservedModel, source: Source | None = None) -> dict[str, str]:
    """The labels of a child: the model's, and the revision's where it belongs to one."""
    common = {LABEL_MANAGED_BY: MANAGED_BY, **selector(model)}
    return common | ({LABEL_REVISION: source.revision, LABEL_VERSION: source.model.version} if source else {})


def child(
    api_version: str,
    kind: str,
    name: str,
    model: ObservedModel,
    *,
    source: Source | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    """The head of a child: its kind, name, labels and owner. It dies with its model, and does not hold it back."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": model.name,
        "uid": model.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    meta = {
        "name": name,
        "namespace": model.namespace,
        "labels": labels(model, source),
        "annotations": dict(annotations or {}),
        "ownerReferences": [owner],
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


def seal(built: Object) -> Object:
    """Add the hash of all that is sent, so that a field which is sent no longer is noticed and removed."""
    text = orjson.dumps(built)  # in the builders' own order
    built["metadata"]["annotations"][ANNOTATION_APPLIED] = hashlib.sha256(text).hexdigest()[:_DIGITS]
    return built
