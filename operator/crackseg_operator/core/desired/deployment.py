"""The Deployment of one revision.

`replicas` is ours: the CrackSegModel's number, shared between the revisions. The Deployment keeps no history and no
deadline of its own: a revision never changes, so there is nothing to go back to, and the rollout keeps the time.
"""

from __future__ import annotations

from typing import Final

from crackseg_operator.api.names import ANNOTATION_SOURCE
from crackseg_operator.core.desired.metadata import Object, child, revision_name, selector
from crackseg_operator.core.desired.pod import build_pod_template
from crackseg_operator.core.observed import ObservedModel
from crackseg_operator.core.revision import Source

_NEVER: Final = 2**31 - 1  # Kubernetes takes this number as: no deadline


def build_deployment(model: ObservedModel, source: Source, replicas: int, pull_policy: str) -> Object:
    """The revision's Deployment with so many pods. Its annotation is enough to build it again."""
    name = revision_name(model, source.revision)
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": selector(model, source.revision)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "revisionHistoryLimit": 0,
        "progressDeadlineSeconds": _NEVER,
        "template": build_pod_template(model, source, pull_policy),
    }
    annotations = {ANNOTATION_SOURCE: source.to_json()}
    return {**child("apps/v1", "Deployment", name, model, source=source, annotations=annotations), "spec": spec}
