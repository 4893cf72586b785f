"""Rolling: a new pod is ready before an old one goes.

Traffic moves by the Service's selector, pods move one by one, and each step waits until the last one has been *seen*
in the cluster: so writes may be cut, lost or repeated at any point, and ready pods behind the Service never fall
below what is wanted. Needs room for one pod more.
"""

from __future__ import annotations

from crackseg_operator.api.names import Phase
from crackseg_operator.core.memory import ALL
from crackseg_operator.core.rollout.scene import Scene, Shares, Side


def decide(scene: Scene) -> Shares:
    """Pods and traffic for this turn."""
    stable, candidate = scene.stable, scene.candidate
    leftovers = tuple(side for side in scene.leftovers if side.exists)
    if stable is None:
        return _alone(scene, candidate, leftovers)
    if leftovers:
        return _clear(scene, stable, leftovers)
    if candidate is None:
        return Shares({stable.revision: scene.replicas}, stable.revision)
    if scene.phase is not Phase.SHIFTING and candidate.ready == 0:
        pods = {stable.revision: scene.replicas, candidate.revision: min(1, scene.replicas)}
        return Shares(pods, stable.revision, Phase.STARTING)
    return _shift(scene, stable, candidate)


def _alone(scene: Scene, candidate: Side | None, leftovers: tuple[Side, ...]) -> Shares:
    """Nothing has served yet: there is nothing to protect."""
    if candidate is None:
        return Shares({}, ALL)
    return Shares(
        {candidate.revision: scene.replicas}, candidate.revision, Phase.STARTING, _retirable(scene, leftovers)
    )


def _shift(scene: Scene, stable: Side, candidate: Side) -> Shares:
    """Traffic is shared; a candidate's pod that is ready replaces one of stable's. The last of these stays to the end."""
    shared = scene.traffic == ALL
    new = min(scene.replicas, max(candidate.wanted, candidate.ready + 1)) if shared else max(candidate.wanted, 1)
    old = max(1, scene.replicas - candidate.ready) if shared else scene.replicas
    return Shares({stable.revision: old, candidate.revision: min(new, scene.replicas)}, ALL, Phase.SHIFTING)


def _clear(scene: Scene, stable: Side, leftovers: tuple[Side, ...]) -> Shares:
    """Leftovers fill what stable lacks, then lose their traffic, then go. A candidate waits until they have."""
    pods = {stable.revision: scene.replicas}
    lacking = max(0, scene.replicas - stable.ready)
    for side in leftovers:
        filling = min(side.ready, lacking) if scene.reaches(side.revision) else 0
        pods[side.revision] = filling
        lacking -= filling
    phase = Phase.STARTING if scene.candidate else None
    if any(pods[side.revision] for side in leftovers):
        return Shares(pods, ALL, phase)
    return Shares({stable.revision: scene.replicas}, stable.revision, phase, _retirable(scene, leftovers))


def _retirable(scene: Scene, leftovers: tuple[Side, ...]) -> tuple[str, ...]:
    """Those that no traffic reaches any more, and that no record names."""
    return tuple(
        side.revision
        for side in leftovers
        if not scene.reaches(side.revision) and side.revision not in scene.on_record and not side.deleting
    )
