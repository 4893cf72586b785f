"""What a strategy sees: how many pods of which revision are wanted, there and ready, and who has the traffic.

Built by `stage` before and after the record changes; read by the situation and by the strategies. Numbers and names
only: no objects, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crackseg_operator.api.names import Phase
from crackseg_operator.api.status import RevisionStatus, Status
from crackseg_operator.core.memory import ALL, traffic
from crackseg_operator.core.observed import Observed


@dataclass(frozen=True, slots=True)
class Side:
    """One revision as it stands."""

    revision: str
    exists: bool = False  # its Deployment is there
    deleting: bool = False  # … and is being deleted
    wanted: int = 0  # the live Deployment's spec.replicas
    ready: int = 0  # pods ready
    pods: int = 0  # pods that hold room, those that are ending included

    @property
    def gone(self) -> bool:
        """No pod holds room, and none will come back."""
        return self.pods == 0 and (self.wanted == 0 or not self.exists)


@dataclass(frozen=True, slots=True)
class Scene:
    """The whole stage."""

    replicas: int  # what the spec, or its autoscaler, asks for
    traffic: str  # by the live Service: a revision, ALL, or "" where there is no Service
    stable: Side | None
    candidate: Side | None
    leftovers: tuple[Side, ...]  # any other revision that has a Deployment or a pod
    phase: Phase | None  # of the rollout on record
    on_record: frozenset[str]  # revisions that the live status still names: nothing of them is destroyed

    def reaches(self, revision: str) -> bool:
        """Whether the live Service sends traffic to the revision's ready pods."""
        return self.traffic in (ALL, revision)


@dataclass(frozen=True, slots=True)
class Shares:
    """A strategy's decision: the only thing it may say."""

    pods: Mapping[str, int]  # revision -> pods wanted; an existing Deployment that is not named is left alone
    traffic: str  # a revision, or ALL
    phase: Phase | None = None  # of the rollout, where a candidate is under way
    retire: tuple[str, ...] = ()  # revisions whose Deployments go


def look_at(observed: Observed, revision: str) -> Side:
    """One revision as it stands. Deployment and pods may be of different age: the smaller number of ready pods counts."""
    deployment = next((one for one in observed.deployments if one.revision == revision), None)
    pods = [pod for pod in observed.pods if pod.revision == revision]
    # A pod that is ending on a lost node cannot be waited for.
    holding = sum(pod.phase not in ("Succeeded", "Failed") and not (pod.deleting and pod.node_lost) for pod in pods)
    if deployment is None:
        return Side(revision, pods=holding)
    ready = sum(pod.ready and not pod.deleting for pod in pods)
    return Side(
        revision,
        exists=True,
        deleting=deployment.deleting,
        wanted=deployment.replicas_wanted,
        # Without any pod in sight (their watch has not begun, or nobody makes any) the Deployment's word is taken.
        ready=min(deployment.ready_replicas, ready) if pods else deployment.ready_replicas,
        pods=max(holding, deployment.replicas),
    )


def stage(observed: Observed, status: Status, replicas: int) -> Scene:
    """The scene for what status says now; `observed.model.status` is what is on record."""

    def side(revision: RevisionStatus | None) -> Side | None:
        return look_at(observed, revision.revision) if revision else None

    named = {one.revision for one in (status.stable, status.candidate) if one}
    seen = _revisions(observed)
    live = (observed.model.status.get(name) for name in ("stable", "candidate"))
    return Scene(
        replicas=replicas,
        traffic=traffic(observed),
        stable=side(status.stable),
        candidate=side(status.candidate),
        leftovers=tuple(look_at(observed, revision) for revision in sorted(seen - named)),
        phase=Phase(status.rollout.phase) if status.rollout else None,
        on_record=frozenset(str(one.get("revision")) for one in live if isinstance(one, Mapping)),
    )


def _revisions(observed: Observed) -> set[str]:
    return {deployment.revision for deployment in observed.deployments} | {
        pod.revision for pod in observed.pods if pod.revision
    }
