"""`status.conditions`: what a person, kubectl wait, Argo CD and Flux read.

Called by `plan` at the end of every turn, and the only place where conditions are set. Ready, Reconciling and Stalled
are kstatus': the latter two are abnormal-true, and absent when all is well. Sentences change only when facts do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from crackseg_operator.api.names import Condition, Phase, Reason
from crackseg_operator.api.spec import Spec
from crackseg_operator.api.status import FailedRevision, RevisionStatus, Status, StatusCondition
from crackseg_operator.core.findings import Finding, Patience
from crackseg_operator.core.observed import ObservedPod
from crackseg_operator.core.rollout.situation import Case, Situation
from crackseg_operator.core.rollout.transition import retry_hint

Truth = Literal["True", "False", "Unknown"]

_MODEL_REASONS: Final = frozenset(
    {
        Reason.MODEL_NOT_FOUND,
        Reason.MODEL_ACCESS_DENIED,
        Reason.MODEL_DOWNLOAD_FAILED,
        Reason.DIGEST_MISMATCH,
        Reason.POINTER_FILE,
        Reason.CONTRACT_MISMATCH,
    }
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What conditions are told from, beside the status of this turn."""

    name: str
    generation: int
    wanted: str  # the revision that the spec names
    spec: Spec
    case: Case
    finding: Finding | None  # of the revision that Ready waits for
    refusal: Finding | None  # a child that cannot be written
    answering: int  # ready pods that have traffic
    digests: tuple[str, ...]  # of the revision that Ready waits for, as its pods verified them
    now: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it is as wanted; if not, why, and whether a person must act."""

    ready: bool
    stuck: bool
    reason: str
    message: str


def tell(status: Status, facts: Facts) -> list[StatusCondition]:
    """All conditions; one whose status is as before keeps its time."""
    verdict = _verdict(status, facts)
    found: list[tuple[Condition, Truth, str, str]] = [
        (Condition.READY, _truth(verdict.ready), verdict.reason, verdict.message),
        _available(verdict, facts),
    ]
    if not verdict.ready:
        working = Condition.STALLED if verdict.stuck else Condition.RECONCILING
        found.append((working, "True", verdict.reason, verdict.message))
    found += _model_verified(status, verdict, facts)
    if failed := _quarantined(status, facts):
        found.append((Condition.ROLLED_BACK, "True", failed.reason, failed.message))
    return stamp(status.conditions, found, facts.generation, facts.now)


def remembered(status: Status, generation: int, pods: Iterable[ObservedPod]) -> Finding | None:
    """What is told against the model's file, for as long as an init container that failed tries again.

    Between two tries a pod may show nothing of the last one: that is no news, and conditions must not come and go.
    """
    told = next((one for one in status.conditions if one.type == Condition.MODEL_VERIFIED), None)
    if told is None or told.status != "False" or told.reason not in _MODEL_REASONS:
        return None
    trying = (one for pod in pods if not pod.ready and not pod.deleting for one in pod.containers)
    if told.observed_generation == generation and any(one.init and one.restarts and not one.ready for one in trying):
        return Finding(Patience.LONG, Reason(told.reason), told.message)
    return None


def stamp(
    before: Iterable[StatusCondition],
    found: Iterable[tuple[Condition, Truth, str, str]],
    generation: int,
    now: str,
) -> list[StatusCondition]:
    """Conditions with the time of their last change."""
    old = {condition.type: condition for condition in before}
    return [
        StatusCondition(
            type=kind.value,
            status=truth,
            reason=reason,
            message=message,
            last_transition_time=old[kind].last_transition_time if kind in old and old[kind].status == truth else now,
            observed_generation=generation,
        )
        for kind, truth, reason, message in found
    ]


def _verdict(status: Status, facts: Facts) -> Verdict:
    situation = facts.case.situation
    if situation in (Situation.QUARANTINED, Situation.FAILED):
        return _taken_back(status, facts)
    if facts.refusal:
        return Verdict(ready=False, stuck=True, reason=facts.refusal.reason, message=facts.refusal.message)
    if status.candidate is not None:
        return _under_way(status, status.candidate, facts)
    return _serving(status, facts)


def _serving(status: Status, facts: Facts) -> Verdict:
    """The wanted revision is the stable one."""
    stable, spec = status.stable, facts.spec
    ready = stable.ready_replicas if stable else 0
    enough = min(spec.replicas, spec.autoscaling.min_replicas) if spec.autoscaling else spec.replicas
    counted = f"{ready} of {spec.replicas} pods of version {spec.model.version} are ready."
    if ready >= enough:
        return Verdict(ready=True, stuck=False, reason=Reason.SERVING, message=counted)
    if finding := facts.finding:
        stuck = _is_stuck(status, finding)
        return Verdict(ready=False, stuck=stuck, reason=finding.reason, message=f"{counted} {finding.message}")
    return Verdict(ready=False, stuck=False, reason=Reason.STARTING, message=counted)


def _under_way(status: Status, candidate: RevisionStatus, facts: Facts) -> Verdict:
    """A candidate is under way, or the first version is being brought up."""
    counted = f"{candidate.ready_replicas} of {facts.spec.replicas} pods of version {candidate.version} are ready"
    counted += f"; version {status.stable.version} serves." if status.stable and status.stable.weight_percent else "."
    finding = facts.case.finding
    if finding is None:
        reason = Reason.PENDING if candidate.replicas == 0 else Reason.STARTING
        if status.rollout and Phase(status.rollout.phase) is Phase.SHIFTING:
            reason = Reason.SHIFTING
        return Verdict(ready=False, stuck=False, reason=reason, message=counted)
    stuck = facts.case.situation is Situation.HELD or facts.case.stuck
    stuck = stuck or (status.stable is None and _is_stuck(status, finding))
    return Verdict(ready=False, stuck=stuck, reason=finding.reason, message=f"{counted} {finding.message}")


def _taken_back(status: Status, facts: Facts) -> Verdict:
    failed = _quarantined(status, facts)
    if failed is None or status.stable is None:
        return _serving(status, facts)
    text = f"Version {failed.version} (revision {failed.revision}) was taken back: {failed.message}"
    hint = f"Name another version, or try this one again with: {retry_hint(facts.name)}"
    message = f"{text} Version {status.stable.version} serves on. {hint}"
    return Verdict(ready=False, stuck=True, reason=failed.reason, message=message)


def _is_stuck(status: Status, finding: Finding) -> bool:
    """A cause that does not go by itself; or one that did not, and shows again (pulls and downloads are retried)."""
    stalled = next((old for old in status.conditions if old.type == Condition.STALLED), None)
    return finding.patience is not Patience.LONG or (stalled is not None and stalled.reason == finding.reason)


def _quarantined(status: Status, facts: Facts) -> FailedRevision | None:
    if facts.case.situation not in (Situation.QUARANTINED, Situation.FAILED):
        return None
    return next((failed for failed in status.failed_revisions if failed.revision == facts.wanted), None)


def _available(verdict: Verdict, facts: Facts) -> tuple[Condition, Truth, str, str]:
    if facts.answering:
        return Condition.AVAILABLE, "True", Reason.SERVING, "Requests are answered."
    if facts.spec.replicas == 0:
        return Condition.AVAILABLE, "False", Reason.PENDING, "spec.replicas is 0: nothing serves."
    reason = Reason.PENDING if verdict.ready else verdict.reason
    return Condition.AVAILABLE, "False", reason, "No ready pod has traffic: requests fail."


def _model_verified(status: Status, verdict: Verdict, facts: Facts) -> list[tuple[Condition, Truth, str, str]]:
    """Whether the bytes of the wanted revision are known to be the right ones; nothing where nobody knows yet."""
    kind = Condition.MODEL_VERIFIED
    failed = _quarantined(status, facts)
    finding = facts.case.finding or facts.finding
    if failed and failed.reason in _MODEL_REASONS:
        return [(kind, "False", failed.reason, failed.message)]
    if not verdict.ready and finding and finding.reason in _MODEL_REASONS:
        return [(kind, "False", finding.reason, finding.message)]
    if len(facts.digests) > 1:
        text = f"Pods of one revision found different files: {', '.join(facts.digests)}. Pin one in spec.model.sha256."
        return [(kind, "False", Reason.DIGEST_MISMATCH, text)]
    if not facts.digests:
        return []
    how = (
        "is the one in spec.model.sha256" if facts.spec.model.sha256 else "was recorded; spec.model.sha256 would pin it"
    )
    return [(kind, "True", Reason.VERIFIED, f"The model's digest {facts.digests[0]} {how}.")]


def _truth(holds: bool) -> Truth:  # noqa: FBT001 - a condition is a truth value
    return "True" if holds else "False"
