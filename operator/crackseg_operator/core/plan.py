"""One decision: from what is wanted and what is observed to the whole desired world.

Called by `shell.reconcile` once for each turn of the loop. Pure: time comes in as a number, everything else as
frozen values. Where rollout and builders meet, and the only place where they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError

from crackseg_operator.api.names import ANNOTATION_RETRY, Condition, Reason
from crackseg_operator.api.spec import Spec, parse_spec
from crackseg_operator.api.status import Status
from crackseg_operator.core.conditions import Facts, remembered, tell
from crackseg_operator.core.desired.ingress import url
from crackseg_operator.core.desired.metadata import revision_name, selector
from crackseg_operator.core.desired.world import Wanted, build_world
from crackseg_operator.core.diagnosis import diagnose, refused, timeout
from crackseg_operator.core.memory import (
    ALL,
    dump,
    live_source,
    recall,
    record_source,
    recorded_source,
    to_seconds,
    to_text,
)
from crackseg_operator.core.observed import ChildKey, Observed
from crackseg_operator.core.report import count, digests, fill, unreadable
from crackseg_operator.core.revision import Source, source_of
from crackseg_operator.core.rollout.scene import Scene, Shares, stage
from crackseg_operator.core.rollout.situation import Case, Evidence, classify
from crackseg_operator.core.rollout.strategies import recreate, rolling
from crackseg_operator.core.rollout.transition import Turn, advance, progress

_STRATEGIES: Final = {"Rolling": rolling.decide, "Recreate": recreate.decide}

#: Reasons that say how far things are; every other one is a fault and worth a warning.
_PROGRESS: Final = frozenset({Reason.PENDING, Reason.STARTING, Reason.SHIFTING, Reason.SERVING})


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
    model = observed.model
    if model.deleting:
        return Plan((), (), model.status)
    try:
        spec = parse_spec(dict(model.spec))
    except ValidationError as error:
        before = recall(observed, "")
        status = unreadable(observed, before, error, now)
        return Plan((), (), status, _events(before, status, ()))
    wanted = source_of(spec.model, spec.serving, _default_image(spec, settings))
    before = recall(observed, wanted.revision)
    wanted = _with_image(wanted, before, observed)
    evidence = _evidence(observed, before, spec, wanted, now)
    case = classify(before, stage(observed, before, spec.replicas), evidence)
    after, turns = advance(before, case, wanted, evidence)
    scene = stage(observed, after, spec.replicas)
    shares = _STRATEGIES[spec.rollout.strategy](scene)
    after, more = progress(after, case, scene, shares, evidence)
    turns += more
    sources = _sources(observed, after, scene, wanted)
    world = build_world(model, spec, sources, _wanted(after, shares), settings.image_pull_policy)
    status = _status(observed, spec, _Turning(before, after, scene, shares, case, evidence), sources)
    return Plan(
        world=world,
        prune=_prune(observed, world, shares),
        status=status,
        events=_events(before, status, turns),
        requeue_after=_requeue(case, after, scene, shares, now),
        outcome=next((Outcome(turn.ended, turn.cause) for turn in reversed(turns) if turn.ended), None),
    )


@dataclass(frozen=True, slots=True)
class _Turning:
    """One turn's intermediate results."""

    before: Status
    after: Status
    scene: Scene
    shares: Shares
    case: Case
    evidence: Evidence


def _default_image(spec: Spec, settings: Settings) -> str:
    return settings.serving_image_gpu if spec.serving.gpus else settings.serving_image


def _with_image(wanted: Source, before: Status, observed: Observed) -> Source:
    """A revision keeps the image that was chosen when it was first wanted."""
    if wanted.serving.image:
        return wanted
    for known in (before.stable, before.candidate):
        if known and known.revision == wanted.revision and known.image:
            return replace(wanted, image=known.image)
    for deployment in observed.deployments:
        if deployment.revision == wanted.revision and (live := live_source(observed, deployment)):
            return replace(wanted, image=live.image)
    return wanted


def _evidence(observed: Observed, before: Status, spec: Spec, wanted: Source, now: float) -> Evidence:
    pods = [pod for pod in observed.pods if pod.revision == wanted.revision]
    deployment = next((one for one in observed.deployments if one.revision == wanted.revision), None)
    refusal = observed.refusals.get(ChildKey("Deployment", revision_name(observed.model, wanted.revision)))
    on_trial = before.stable is None or before.stable.revision != wanted.revision
    engine_claim = wanted.serving.engine_cache_claim_name
    finding = diagnose(deployment, pods, refusal, on_trial=on_trial, engine_claim=engine_claim)
    if finding is None or finding.reason is Reason.CRASH_LOOP:
        finding = remembered(before, observed.model.generation, pods) or finding
    return Evidence(
        wanted=wanted.revision,
        retry=observed.model.annotations.get(ANNOTATION_RETRY),
        policy=spec.rollout,
        finding=finding,
        timeout=timeout(pods, spec.replicas, spec.rollout.progress_deadline_seconds),
        node_lost=any(pod.node_lost for pod in pods),
        now=now,
    )


def _sources(observed: Observed, after: Status, scene: Scene, wanted: Source) -> dict[str, Source]:
    """The sources of all revisions of which they are known; the others' Deployments stay as they are."""
    sources = {wanted.revision: wanted}
    if after.stable and after.stable.revision != wanted.revision and (recorded := recorded_source(after.stable)):
        sources[recorded.revision] = recorded
    if len(sources) + bool(scene.leftovers) > 1:
        for deployment in observed.deployments:
            if deployment.revision not in sources and (live := live_source(observed, deployment)):
                sources[deployment.revision] = live
    return sources


def _wanted(after: Status, shares: Shares) -> Wanted:
    tried = after.candidate.revision if after.candidate and after.stable else None
    return Wanted(
        pods=shares.pods,
        traffic=None if shares.traffic == ALL else shares.traffic,
        tried=tried if tried in shares.pods else None,
    )


def _status(observed: Observed, spec: Spec, turning: _Turning, sources: Mapping[str, Source]) -> dict[str, Any]:
    model, evidence, after = observed.model, turning.evidence, turning.after
    counted = count(turning.scene, turning.shares)
    after = fill(after, observed, turning.scene, turning.shares, counted)
    if after.stable and after.stable.source is None:
        after = after.model_copy(update={"stable": record_source(after.stable, sources.get(after.stable.revision))})
    focus = next((one for one in (after.candidate, after.stable) if one and one.revision == evidence.wanted), None)
    refusal = min(observed.refusals.items(), key=lambda item: item[0], default=None)
    facts = Facts(
        name=model.name,
        generation=model.generation,
        wanted=evidence.wanted,
        spec=spec,
        case=turning.case,
        finding=evidence.finding,
        refusal=refused(refusal[1]) if refusal else None,
        answering=counted.answering,
        digests=digests(observed, focus),
        now=to_text(evidence.now),
    )
    labels = ",".join(f"{key}={value}" for key, value in sorted(selector(model).items()))
    told = {"conditions": tell(after, facts), "url": url(model, spec.exposure), "selector": labels}
    stable = sources.get(after.stable.revision) if after.stable else None
    return dump(after.model_copy(update=told), stable)


def _prune(observed: Observed, world: Iterable[Mapping[str, Any]], shares: Shares) -> tuple[ChildKey, ...]:
    """Owned children that shall not exist. A Deployment goes only when the strategy says so."""
    kept = {ChildKey(child["kind"], child["metadata"]["name"]) for child in world}
    kept |= {
        ChildKey("Deployment", deployment.name)
        for deployment in observed.deployments
        if deployment.revision not in shares.retire
    }
    return tuple(
        sorted(
            key
            for key, child in observed.children.items()
            if key not in kept and "deletionTimestamp" not in child["metadata"]
        )
    )


def _events(before: Status, status: Mapping[str, Any], turns: Iterable[Turn]) -> tuple[Event, ...]:
    """What changed with this turn: the transitions, and a fault that has newly become Ready's reason."""
    events = [Event("Warning" if turn.warning else "Normal", turn.reason, turn.message) for turn in turns]
    old = next((condition.reason for condition in before.conditions if condition.type == Condition.READY), "")
    told = {condition["type"]: condition for condition in status["conditions"]}
    reason = told[Condition.READY]["reason"]
    if reason not in (old, *_PROGRESS):
        cause = told.get(Condition.ROLLED_BACK, told[Condition.READY])["message"]
        events.insert(0, Event("Warning", reason, cause))
    return tuple(events)


def _requeue(case: Case, after: Status, scene: Scene, shares: Shares, now: float) -> float | None:
    """When to look again without being told: at once where the next step waits for nothing but our own writes."""
    named = {one.revision for one in (after.stable, after.candidate) if one}
    two = bool(scene.leftovers) or (scene.candidate is not None and scene.stable is not None)
    cleared = bool(scene.leftovers) and (scene.on_record != named or bool(shares.retire))
    if cleared or (two and shares.traffic != scene.traffic):
        return 0.0
    until = case.until
    if until is None and after.rollout:
        until = to_seconds(after.rollout.deadline)
    return until - now if until is not None and until > now else None
