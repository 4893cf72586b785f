"""Where a model stands: exactly one named situation from a closed list, and why.

Called by `plan` once for each turn, before anything is decided. The list is the design: docs/rollout.md has it as a
table. Pure: time comes in as a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from crackseg_operator.api.names import Phase, Reason
from crackseg_operator.api.spec import Rollout
from crackseg_operator.api.status import RevisionStatus, RolloutStatus, Status
from crackseg_operator.core.findings import Finding, Patience
from crackseg_operator.core.memory import to_seconds
from crackseg_operator.core.rollout.scene import Scene

#: How long a candidate with all its pods ready and with traffic must stay so before the old version goes.
PROVING_SECONDS: Final = 5
#: Short patience is this part of the deadline.
SHORT_PART: Final = 10


class Situation(Enum):
    """All that can be the case."""

    FIRST = auto()  # nothing has served yet; the wanted revision is brought up, for as long as it takes
    FIRST_READY = auto()  # … and has its first ready pod
    SERVING = auto()  # the wanted revision is the stable one
    NEW = auto()  # the wanted revision is neither stable nor candidate nor in quarantine
    RETRIED = auto()  # the wanted revision is in quarantine, and a person asks for it again
    WAITING = auto()  # the candidate has no pod yet: others go first
    STARTING = auto()  # the candidate has no traffic yet
    SHIFTING = auto()  # the candidate gets its share
    PROVEN = auto()  # the candidate is whole, and has been for a while
    FAILED = auto()  # the candidate's cause of failure is known, or its time is up
    HELD = auto()  # … and rollback is Disabled
    ABORTED = auto()  # the wanted revision is stable again, with a candidate under way
    QUARANTINED = auto()  # the wanted revision was taken back before


@dataclass(frozen=True, slots=True)
class Case:
    """The situation, its cause, and when time alone may make it another."""

    situation: Situation
    finding: Finding | None = None  # the cause, acted on or not
    until: float | None = None  # seconds since the epoch
    stuck: bool = False  # First: the cause would have been acted on, were there anything to go back to
    excused: bool = False  # the time is up, but a lost node is to blame: it starts again


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the situation is judged from, beside the scene."""

    wanted: str  # the revision that the spec names
    retry: str | None  # the annotation's value
    policy: Rollout
    finding: Finding | None  # of the wanted revision's pods
    timeout: Finding  # what to say when the time is up and nothing else shows
    node_lost: bool  # one of the wanted revision's pods is on a lost node
    now: float


def classify(status: Status, scene: Scene, evidence: Evidence) -> Case:
    """Name the situation. `status` is what was recalled, `scene` what is seen."""
    if status.stable is None:
        return _first(status, scene, evidence)
    if status.stable.revision == evidence.wanted:
        return Case(Situation.ABORTED if status.candidate else Situation.SERVING, evidence.finding)
    if any(failed.revision == evidence.wanted for failed in status.failed_revisions):
        retried = evidence.retry is not None and evidence.retry != status.retried
        return Case(Situation.RETRIED if retried else Situation.QUARANTINED)
    return _candidate(status, scene, evidence)


def _candidate(status: Status, scene: Scene, evidence: Evidence) -> Case:
    """The spec names a revision that may replace the stable one."""
    candidate, rollout = status.candidate, status.rollout
    if candidate is None or candidate.revision != evidence.wanted or rollout is None:
        return Case(Situation.NEW)
    if scene.replicas == 0:
        return Case(Situation.PROVEN)
    if candidate.replicas == 0:
        return Case(Situation.WAITING)
    return _trial(candidate, rollout, scene, evidence)


def _first(status: Status, scene: Scene, evidence: Evidence) -> Case:
    candidate, rollout = status.candidate, status.rollout
    known = candidate is not None and candidate.revision == evidence.wanted and scene.candidate is not None
    if scene.replicas == 0 or (known and scene.candidate and scene.candidate.ready):
        return Case(Situation.FIRST_READY)
    if not known or rollout is None:
        return Case(Situation.FIRST, evidence.finding)
    due = _due(rollout, evidence)
    if evidence.now < due:
        return Case(Situation.FIRST, evidence.finding, due)
    return Case(Situation.FIRST, evidence.finding or evidence.timeout, stuck=True)


def _trial(candidate: RevisionStatus, rollout: RolloutStatus, scene: Scene, evidence: Evidence) -> Case:
    """A candidate with pods: whole, failed, or on its way."""
    side, finding, now = scene.candidate, evidence.finding, evidence.now
    doomed = finding is not None and finding.patience is Patience.NONE
    shifting = Phase(rollout.phase) is Phase.SHIFTING
    whole = side is not None and side.ready >= scene.replicas and shifting and scene.reaches(candidate.revision)
    if whole and not doomed:
        proven = to_seconds(rollout.progressed) + PROVING_SECONDS
        return Case(Situation.PROVEN) if now >= proven else Case(Situation.SHIFTING, finding, proven)
    on_its_way = Situation.SHIFTING if shifting else Situation.STARTING
    due = _due(rollout, evidence)
    if now < due:
        return Case(on_its_way, finding, due)
    if evidence.node_lost and not doomed:
        return Case(on_its_way, finding, excused=True)
    situation = Situation.FAILED if evidence.policy.rollback == "Automatic" else Situation.HELD
    return Case(situation, _verdict(evidence))


def _due(rollout: RolloutStatus, evidence: Evidence) -> float:
    """When the candidate's cause is acted on. A lost node leaves only the whole deadline, and causes that are certain."""
    patience = evidence.finding.patience if evidence.finding else Patience.LONG
    deadline = evidence.policy.progress_deadline_seconds
    if patience is Patience.NONE:
        return 0.0
    if patience is Patience.SHORT and not evidence.node_lost:
        deadline = max(1, deadline // SHORT_PART)
    return to_seconds(rollout.progressed) + deadline


def _verdict(evidence: Evidence) -> Finding:
    """The cause to put on record: what shows, unless that is only slowness."""
    if evidence.finding and evidence.finding.reason is not Reason.NODE_LOST:
        return evidence.finding
    return evidence.timeout
