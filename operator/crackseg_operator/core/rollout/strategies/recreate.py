"""Recreate: all old pods go before the first new one comes; requests fail meanwhile.

For clusters without room for two versions, and for models that must not run beside each other. Each step waits until
the pods of the last one are gone.
"""

from __future__ import annotations

from crackseg_operator.api.names import Phase
from crackseg_operator.core.memory import ALL
from crackseg_operator.core.rollout.scene import Scene, Shares, Side


def decide(scene: Scene) -> Shares:
    """Pods and traffic for this turn."""
    stable, candidate = scene.stable, scene.candidate
    retire = _retirable(scene)
    clear = all(side.pods == 0 for side in scene.leftovers)
    if stable is None:
        return _alone(scene, candidate, retire, clear=clear)
    if candidate is None:
        back = clear or stable.wanted > 0
        return Shares({stable.revision: scene.replicas if back else 0}, stable.revision, None, retire)
    if not clear:
        return Shares({stable.revision: min(stable.wanted, scene.replicas)}, stable.revision, Phase.STARTING, retire)
    if not stable.gone:
        return _stop(scene, stable, candidate, retire)
    pods = {stable.revision: 0, candidate.revision: scene.replicas}
    return Shares(pods, candidate.revision, Phase.SHIFTING, retire)


def _alone(scene: Scene, candidate: Side | None, retire: tuple[str, ...], *, clear: bool) -> Shares:
    """Nothing has served yet."""
    if candidate is None:
        return Shares({}, ALL, None, retire)
    pods = {candidate.revision: scene.replicas} if clear or candidate.exists else {}
    return Shares(pods, candidate.revision, Phase.STARTING, retire)


def _stop(scene: Scene, stable: Side, candidate: Side, retire: tuple[str, ...]) -> Shares:
    """Stable's pods go. A candidate that runs already (the strategy was changed under way) stays and serves."""
    pods = {stable.revision: 0}
    if candidate.exists:
        pods[candidate.revision] = min(candidate.wanted, scene.replicas)
    return Shares(pods, ALL if candidate.ready else stable.revision, Phase.STARTING, retire)


def _retirable(scene: Scene) -> tuple[str, ...]:
    """Leftovers that no traffic reaches any more, and that no record names."""
    return tuple(
        side.revision
        for side in scene.leftovers
        if side.exists
        and not side.deleting
        and not scene.reaches(side.revision)
        and side.revision not in scene.on_record
    )
