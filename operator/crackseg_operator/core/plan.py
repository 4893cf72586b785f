"""One decision: from what is wanted and what is observed to the whole desired world.

Called by `shell.reconcile` once for each turn of the loop. Pure: time comes in as a number, everything else as
frozen values. Where rollout and builders meet, and the only place where they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crackseg_operator.core.observed import ChildKey, Observed


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
    raise NotImplementedError
