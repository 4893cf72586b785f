"""One decision: from what is wanted and what is observed to the whole desired world.

Called by `shell.reconcile` once for each turn of the loop. Pure: time comes in as a number, everything else as
frozen values. Where rollout and builders meet, and the only place where they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crackseg_operator.api.spec import parse_spec
from crackseg_operator.core.desired.ingress import url
from crackseg_operator.core.desired.metadata import selector
from crackseg_operator.core.desired.world import Wanted, build_world
from crackseg_operator.core.observed import ChildKey, Observed
from crackseg_operator.core.revision import source_of


@dataclass(frozen=True, slots=True)
class Settings:
    """What the builders need to know of the operator's own configuration."""

    serving_image: str  # default image for CPU
    serving_image_gpu: str  # default image where gpus > 0
    image_pull_policy: str = "IfNotPresent"


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event to record on the CrackSegModel: one a transition, none in rest."""

    type: str  # "Normal" | "Warning"
    reason: str
    message: str
    action: str = "Reconcile"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A rollout that ended with this plan; the shell counts it in the metrics."""

    result: str  # "Promoted" | "RolledBack" | "Aborted"
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole desired world for one CrackSegModel."""

    world: tuple[Mapping[str, Any], ...]  # every child that shall exist, in apply order (same order = parallel)
    prune: tuple[ChildKey, ...]  # owned children that shall not
    status: Mapping[str, Any]  # the whole status, camelCase; equal to the live one where nothing changed
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None  # seconds until time alone may change the decision
    outcome: Outcome | None = None


def plan(observed: Observed, settings: Settings, now: float) -> Plan:
    """Decide. `now` is seconds since the epoch. Never raises for anything a user can write: a bad spec is a Stalled plan."""
    model, spec = observed.model, parse_spec(dict(observed.model.spec))
    source = source_of(
        spec.model, spec.serving, settings.serving_image_gpu if spec.serving.gpus else settings.serving_image
    )
    ready = sum(deployment.ready_replicas for deployment in observed.deployments)
    state = "True" if ready >= spec.replicas else "False"
    old: Mapping[str, Any] = next((c for c in observed.model.status.get("conditions", ()) if c["type"] == "Ready"), {})
    since = old["lastTransitionTime"] if old.get("status") == state else _time(now)
    condition = {
        "type": "Ready",
        "status": state,
        "reason": "Serving" if state == "True" else "Starting",
        "message": f"{ready} of {spec.replicas} pods are ready.",
        "lastTransitionTime": since,
        "observedGeneration": model.generation,
    }
    wanted = Wanted({source.revision: spec.replicas}, source.revision)
    status = {
        "observedGeneration": model.generation,
        "conditions": [condition],
        "url": url(model, spec.exposure),
        "replicas": spec.replicas,
        "readyReplicas": ready,
        "selector": ",".join(f"{key}={value}" for key, value in sorted(selector(model).items())),
    }
    world = build_world(model, spec, {source.revision: source}, wanted, settings.image_pull_policy)
    kept = {ChildKey(child["kind"], child["metadata"]["name"]) for child in world}
    return Plan(world, tuple(sorted(key for key in observed.children if key not in kept)), status)


def _time(now: float) -> str:
    return datetime.fromtimestamp(int(now), tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
