"""Recall what earlier turns decided, from `status`; and write it down again.

Called by `plan`. Status is the only memory. It may be of another version of the operator, lost, or changed by a hand:
what cannot be read is dropped, and the revision that has the traffic is never forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from crackseg_operator.api.names import ANNOTATION_SOURCE, LABEL_REVISION
from crackseg_operator.api.status import RevisionSource, RevisionStatus, Status
from crackseg_operator.core.observed import ChildKey, Observed, ObservedDeployment
from crackseg_operator.core.revision import Source, read_source, source_of

#: Traffic goes to every ready pod of the model, whatever its revision.
ALL = "*"


def recall(observed: Observed, wanted: str) -> Status:
    """What status says; and where it names no stable revision, the one that serves."""
    status = _read(observed.model.status)
    if status.stable is None and (serving := _serving(observed, wanted)):
        source = live_source(observed, serving)
        stable = RevisionStatus(revision=serving.revision, version=source.model.version if source else serving.version)
        status = status.model_copy(update={"stable": record_source(stable, source)})
    return status


def traffic(observed: Observed) -> str:
    """Who gets the traffic by the live Service: a revision, ALL, or "" where there is no Service."""
    service = observed.children.get(ChildKey("Service", observed.model.name))
    if service is None:
        return ""
    selector = (service.get("spec") or {}).get("selector") or {}
    return str(selector.get(LABEL_REVISION, ALL))


def live_source(observed: Observed, deployment: ObservedDeployment) -> Source | None:
    """The source that the live Deployment carries, if it is the one that its name speaks of."""
    child = observed.children.get(ChildKey("Deployment", deployment.name), {})
    annotations = child.get("metadata", {}).get("annotations") or {}
    source = read_source(annotations.get(ANNOTATION_SOURCE))
    return source if source and source.revision == deployment.revision else None


def record_source(revision: RevisionStatus, source: Source | None) -> RevisionStatus:
    """The revision with its source put down."""
    if source is None:
        return revision
    made_of = RevisionSource(model=source.model, serving=source.serving)
    return revision.model_copy(update={"image": source.image, "source": made_of})


def recorded_source(revision: RevisionStatus | None) -> Source | None:
    """The source that status keeps of a revision, under the name that it was given then."""
    if revision is None or revision.source is None or revision.image is None:
        return None
    return replace(
        source_of(revision.source.model, revision.source.serving, revision.image),
        revision=revision.revision,
        image=revision.image,
    )


def dump(status: Status, stable: Source | None) -> dict[str, Any]:
    """Status as it is written: camelCase, without what is absent; the stable revision's source without defaults."""
    out = status.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"stable": {"source"}})
    if status.stable and status.stable.source and stable:
        out["stable"]["source"] = {"model": {}, "serving": {}, **stable.content}
    return out


def to_text(now: float) -> str:
    """RFC 3339 in UTC with whole seconds."""
    return datetime.fromtimestamp(int(now), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_seconds(text: str) -> float:
    """Seconds since the epoch; 0 for what is no time."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _read(raw: Mapping[str, Any]) -> Status:
    try:
        return Status.model_validate(raw)
    except ValidationError as error:
        broken = {str(detail["loc"][0]) for detail in error.errors()}
        return Status.model_validate({name: value for name, value in raw.items() if name not in broken})


def _serving(observed: Observed, wanted: str) -> ObservedDeployment | None:
    """The Deployment, other than the wanted one, whose ready pods have the traffic."""
    live = traffic(observed)
    if live in (wanted, ""):
        return None
    serving = (
        deployment
        for deployment in observed.deployments
        if deployment.revision != wanted and deployment.ready_replicas and live in (ALL, deployment.revision)
    )
    return max(serving, key=lambda deployment: (deployment.ready_replicas, deployment.name), default=None)
