"""What a situation changes on record: who is stable, who is candidate, who is in quarantine.

Called by `plan` after the situation is known. Promotion, rollback and abort are only other names in status; what they
leave behind is cleared by the strategies. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from crackseg_operator.api.names import ANNOTATION_RETRY, Phase, Reason
from crackseg_operator.api.status import FailedRevision, PastRevision, RevisionStatus, RolloutStatus, Status
from crackseg_operator.core.findings import Finding
from crackseg_operator.core.memory import record_source, to_seconds, to_text
from crackseg_operator.core.revision import Source
from crackseg_operator.core.rollout.scene import Scene, Shares
from crackseg_operator.core.rollout.situation import Case, Evidence, Situation

_QUARANTINE: Final = 10  # the schema's bound on status.failedRevisions


@dataclass(frozen=True, slots=True)
class Turn:
    """What is worth telling: the reason word of the transition, a sentence, and whether it is a warning."""

    reason: Reason
    message: str
    warning: bool = False
    ended: Reason | None = None  # the rollout ended with this result …
    cause: str = ""  # … for this cause


_Changed = tuple[Status, tuple[Turn, ...]]


def advance(status: Status, case: Case, source: Source, evidence: Evidence) -> _Changed:
    """The record after this situation. `source` is the wanted revision's."""
    changed: _Changed = (status, ())
    match case.situation:
        case Situation.FIRST if not _is_candidate(status, source):
            changed = _begin(status, source, evidence)
        case Situation.FIRST_READY:
            begun, turns = changed if _is_candidate(status, source) else _begin(status, source, evidence)
            promoted, more = _promote(begun, source, evidence)
            changed = promoted, turns + more
        case Situation.PROVEN:
            changed = _promote(status, source, evidence)
        case Situation.NEW:
            changed = _begin(status, source, evidence)
        case Situation.RETRIED:
            released = [failed for failed in status.failed_revisions if failed.revision != source.revision]
            changed = _begin(_with(status, failed_revisions=released), source, evidence)
        case Situation.FAILED if case.finding:
            changed = _take_back(status, case.finding, evidence)
        case Situation.ABORTED | Situation.QUARANTINED | Situation.SERVING:
            changed = _drop(status, source)
        case _:
            pass
    return changed


def progress(status: Status, case: Case, scene: Scene, shares: Shares, evidence: Evidence) -> _Changed:
    """The rollout's clock after this turn's shares: it starts again whenever the candidate has come closer."""
    rollout, candidate = status.rollout, status.candidate
    if rollout is None or candidate is None:
        return status, ()
    share = shares.pods.get(candidate.revision, 0)
    ready = scene.candidate.ready if scene.candidate else 0
    phase = shares.phase or Phase.STARTING
    entered = phase is Phase.SHIFTING and Phase(rollout.phase) is Phase.STARTING
    closer = entered or case.excused or ready > rollout.most_ready or (candidate.replicas == 0 < share)
    progressed = to_text(evidence.now) if closer else rollout.progressed
    clock = RolloutStatus(
        phase=phase.value,
        since=rollout.since,
        progressed=progressed,
        deadline=to_text(to_seconds(progressed) + evidence.policy.progress_deadline_seconds),
        most_ready=max(ready, rollout.most_ready),
    )
    turn = Turn(Reason.SHIFTING, f"Version {candidate.version} (revision {candidate.revision}) gets traffic.")
    return _with(status, rollout=clock), (turn,) if entered else ()


def _begin(status: Status, source: Source, evidence: Evidence) -> _Changed:
    """The wanted revision becomes the candidate, in place of any other."""
    dropped, turns = _drop(status, source)
    now = to_text(evidence.now)
    candidate = record_source(RevisionStatus(revision=source.revision, version=source.model.version), source)
    candidate = candidate.model_copy(update={"source": None})  # the spec itself names it
    deadline = to_text(evidence.now + evidence.policy.progress_deadline_seconds)
    clock = RolloutStatus(phase="Starting", since=now, progressed=now, deadline=deadline)
    begun = _with(dropped, candidate=candidate, rollout=clock)
    if status.stable is None:  # no Event: a new model costs one write a child and one for status
        return begun, turns
    beside = f"beside version {status.stable.version}, without traffic"
    text = f"Version {source.model.version} (revision {source.revision}) starts {beside}."
    return begun, (*turns, Turn(Reason.STARTING, text))


def _promote(status: Status, source: Source, evidence: Evidence) -> _Changed:
    candidate = status.candidate or RevisionStatus(revision=source.revision, version=source.model.version)
    stable = record_source(candidate, source)
    past = PastRevision(
        revision=stable.revision, version=stable.version, digest=stable.digest, promoted=to_text(evidence.now)
    )
    history = [past, *status.history][: evidence.policy.history_limit]
    text = f"Version {stable.version} (revision {stable.revision}) serves"
    text += f" in place of version {status.stable.version}." if status.stable else "."
    promoted = _with(status, stable=stable, candidate=None, rollout=None, history=history)
    return promoted, (Turn(Reason.PROMOTED, text, ended=Reason.PROMOTED, cause=Reason.PROMOTED.value),)


def _take_back(status: Status, finding: Finding, evidence: Evidence) -> _Changed:
    """Into quarantine. The candidate is then a leftover: its traffic goes first, its pods after."""
    candidate = status.candidate
    if candidate is None:
        return status, ()
    entry = FailedRevision(
        revision=candidate.revision,
        version=candidate.version,
        reason=finding.reason.value,
        message=finding.message,
        at=to_text(evidence.now),
    )
    others = [failed for failed in status.failed_revisions if failed.revision != candidate.revision]
    failed = [*others, entry][-_QUARANTINE:]
    back = f"; version {status.stable.version} serves on" if status.stable else ""
    text = f"Version {candidate.version} (revision {candidate.revision}) was taken back{back}. {finding.message}"
    turn = Turn(Reason.ROLLED_BACK, text, warning=True, ended=Reason.ROLLED_BACK, cause=finding.reason.value)
    return _with(status, candidate=None, rollout=None, failed_revisions=failed), (turn,)


def _drop(status: Status, source: Source) -> _Changed:
    """No candidate: the spec names another revision than the one under way."""
    candidate = status.candidate
    if candidate is None:
        return (status if status.rollout is None else _with(status, rollout=None)), ()
    text = f"Version {candidate.version} (revision {candidate.revision}) was given up: "
    text += f"the spec names version {source.model.version} (revision {source.revision}) now."
    turn = Turn(Reason.ABORTED, text, ended=Reason.ABORTED, cause=Reason.ABORTED.value)
    return _with(status, candidate=None, rollout=None), (turn,)


def _is_candidate(status: Status, source: Source) -> bool:
    candidate = status.candidate
    return candidate is not None and candidate.revision == source.revision and status.rollout is not None


def _with(status: Status, **fields: Any) -> Status:
    return status.model_copy(update=fields)


def retry_hint(name: str) -> str:
    """What a person does to try a quarantined revision again."""
    return f'kubectl annotate csm {name} {ANNOTATION_RETRY}="$(date +%s)" --overwrite'
