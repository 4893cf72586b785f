"""The figures in `status`: pods, readiness, shares of traffic, digests, addresses.

Called by `plan` once the decision is made. Everything here is counted or copied; nothing is decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from crackseg_operator.api.names import ANNOTATION_RETRY, Condition, Reason
from crackseg_operator.api.status import RevisionStatus, Status
from crackseg_operator.core.conditions import stamp
from crackseg_operator.core.containers import digest_of
from crackseg_operator.core.findings import clip
from crackseg_operator.core.memory import ALL, dump, recorded_source, to_text
from crackseg_operator.core.observed import Observed
from crackseg_operator.core.rollout.scene import Scene, Shares, Side


@dataclass(frozen=True, slots=True)
class Counted:
    """Pods and traffic of one turn."""

    weights: Mapping[str, int]  # revision -> percent; 100 together wherever anything is ready
    answering: int  # ready pods that have traffic


def count(scene: Scene, shares: Shares) -> Counted:
    """Who answers. Every ready pod behind the Service gets the same share."""
    sides = [side for side in (scene.stable, scene.candidate, *scene.leftovers) if side]
    ready = {side.revision: side.ready for side in sides if shares.traffic in (ALL, side.revision) and side.ready}
    total = sum(ready.values())
    weights = {revision: 100 * pods // total for revision, pods in ready.items()}
    if weights:  # what rounding has left over goes to the largest
        weights[max(weights, key=lambda revision: (weights[revision], revision))] += 100 - sum(weights.values())
    return Counted(weights, total)


def fill(status: Status, observed: Observed, scene: Scene, shares: Shares, counted: Counted) -> Status:
    """Status with this turn's figures; conditions are told later."""
    sides = [side for side in (scene.stable, scene.candidate, *scene.leftovers) if side]
    return status.model_copy(
        update={
            "observed_generation": observed.model.generation,
            "stable": _revision(status.stable, scene.stable, observed, shares, counted),
            "candidate": _revision(status.candidate, scene.candidate, observed, shares, counted),
            "replicas": sum(shares.pods.values()),
            "ready_replicas": sum(side.ready for side in sides),
            "retried": observed.model.annotations.get(ANNOTATION_RETRY, status.retried),
        }
    )


def digests(observed: Observed, revision: RevisionStatus | None) -> tuple[str, ...]:
    """All digests that are known of a revision: the recorded one and those of its pods, sorted."""
    if revision is None:
        return ()
    found = {digest_of(pod) for pod in observed.pods if pod.revision == revision.revision}
    return tuple(sorted(digest for digest in found | {revision.digest} if digest))


def unreadable(observed: Observed, status: Status, error: ValidationError, now: float) -> dict[str, Any]:
    """The status of a model whose stored spec does not fit today's schema: nothing is touched, and a person must act."""
    faults = "; ".join(f"spec.{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:5])
    text = clip(f"The spec cannot be read, so everything stays as it is. Correct it: {faults}")
    model, told = observed.model, {Condition.READY, Condition.STALLED, Condition.RECONCILING}
    fresh = stamp(
        status.conditions,
        [
            (Condition.READY, "False", Reason.INVALID_SPEC, text),
            (Condition.STALLED, "True", Reason.INVALID_SPEC, text),
        ],
        model.generation,
        to_text(now),
    )
    kept = [condition for condition in status.conditions if condition.type not in told]
    after = status.model_copy(update={"observed_generation": model.generation, "conditions": [*fresh, *kept]})
    return dump(after, recorded_source(after.stable))


def _revision(
    revision: RevisionStatus | None, side: Side | None, observed: Observed, shares: Shares, counted: Counted
) -> RevisionStatus | None:
    if revision is None or side is None:
        return revision
    known = digests(observed, revision)
    return revision.model_copy(
        update={
            "digest": revision.digest or (known[0] if known else None),
            "replicas": shares.pods.get(revision.revision, side.wanted),
            "ready_replicas": side.ready,
            "weight_percent": counted.weights.get(revision.revision, 0),
        }
    )
