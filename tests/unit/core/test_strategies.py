"""How much of which revision, and who gets the traffic: every row is one turn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crackseg_operator.api.names import Phase
from crackseg_operator.core.memory import ALL
from crackseg_operator.core.rollout.scene import Scene, Shares, Side
from crackseg_operator.core.rollout.strategies import recreate, rolling

STARTING, SHIFTING = Phase.STARTING, Phase.SHIFTING


def side(name: str, wanted: int = 0, ready: int = 0, pods: int | None = None) -> Side:
    return Side(name, exists=True, wanted=wanted, ready=ready, pods=wanted if pods is None else pods)


def absent(name: str, pods: int = 0) -> Side:
    return Side(name, pods=pods)


OLD = side("old", 3, 3)
SCENE = Scene(3, "old", OLD, None, (), None, frozenset({"old"}))


def scene(**changes: object) -> Scene:
    return replace(SCENE, **changes)  # type: ignore[arg-type]


ROLLING = [
    pytest.param(scene(), Shares({"old": 3}, "old"), id="at rest"),
    pytest.param(
        scene(traffic="", stable=None, candidate=absent("new")),
        Shares({"new": 3}, "new", STARTING),
        id="the first version gets all pods at once",
    ),
    pytest.param(
        scene(candidate=absent("new"), phase=STARTING),
        Shares({"old": 3, "new": 1}, "old", STARTING),
        id="a candidate starts with one pod and no traffic",
    ),
    pytest.param(
        scene(candidate=side("new", 1, 1), phase=STARTING),
        Shares({"old": 3, "new": 1}, ALL, SHIFTING),
        id="its first ready pod gets traffic, and nothing is taken away before that is seen",
    ),
    pytest.param(
        scene(traffic=ALL, candidate=side("new", 1, 1), phase=SHIFTING),
        Shares({"old": 2, "new": 2}, ALL, SHIFTING),
        id="once the traffic is seen to be shared an old pod goes and a new one comes",
    ),
    pytest.param(
        scene(traffic=ALL, candidate=side("new", 3, 2), phase=SHIFTING),
        Shares({"old": 1, "new": 3}, ALL, SHIFTING),
        id="pod by pod",
    ),
    pytest.param(
        scene(traffic=ALL, stable=side("old", 1, 1), candidate=side("new", 3, 3), phase=SHIFTING),
        Shares({"old": 1, "new": 3}, ALL, SHIFTING),
        id="the last old pod stays until promotion",
    ),
    pytest.param(
        scene(traffic=ALL, stable=side("old", 1, 1), candidate=side("new", 3, 1), phase=SHIFTING),
        Shares({"old": 2, "new": 3}, ALL, SHIFTING),
        id="when new pods fall out old ones come back",
    ),
    pytest.param(
        scene(replicas=5, traffic=ALL, candidate=side("new", 2, 2), phase=SHIFTING),
        Shares({"old": 3, "new": 3}, ALL, SHIFTING),
        id="an autoscaler may ask for more in mid-rollout",
    ),
    pytest.param(
        scene(traffic=ALL, stable=side("old", 3, 1), leftovers=(side("bad", 3, 2),)),
        Shares({"old": 3, "bad": 2}, ALL),
        id="a leftover's ready pods fill what stable lacks",
    ),
    pytest.param(
        scene(traffic=ALL, stable=side("old", 3, 2), leftovers=(side("bad", 2, 2),)),
        Shares({"old": 3, "bad": 1}, ALL),
        id="and go one by one, so that room for one more is enough",
    ),
    pytest.param(
        scene(traffic=ALL, leftovers=(side("bad", 1, 1),)),
        Shares({"old": 3}, "old"),
        id="stable is whole: the leftover's traffic goes first",
    ),
    pytest.param(
        scene(leftovers=(side("bad", 1, 1),)),
        Shares({"old": 3}, "old", None, ("bad",)),
        id="its pods after",
    ),
    pytest.param(
        scene(leftovers=(side("bad", 1, 1),), on_record=frozenset({"old", "bad"})),
        Shares({"old": 3}, "old"),
        id="but not before the decision is on record",
    ),
    pytest.param(
        scene(traffic="bad", leftovers=(side("bad", 1, 1),), replicas=1, stable=side("old", 1, 1)),
        Shares({"old": 1}, "old"),
        id="nor while a Service still points at it",
    ),
    pytest.param(
        scene(leftovers=(replace(side("bad", 1, 1), deleting=True),)),
        Shares({"old": 3}, "old"),
        id="what is being deleted is not deleted twice",
    ),
    pytest.param(
        scene(candidate=absent("new"), leftovers=(side("bad", 1),), phase=STARTING),
        Shares({"old": 3}, "old", STARTING, ("bad",)),
        id="a candidate waits for leftovers",
    ),
    pytest.param(
        scene(leftovers=(absent("bad", pods=2),)),
        Shares({"old": 3}, "old"),
        id="pods that end by themselves are waited for by nobody",
    ),
]

RECREATE = [
    pytest.param(scene(), Shares({"old": 3}, "old"), id="at rest"),
    pytest.param(
        scene(candidate=absent("new"), phase=STARTING),
        Shares({"old": 0}, "old", STARTING),
        id="all old pods go first",
    ),
    pytest.param(
        scene(stable=side("old", 0, 0, pods=1), candidate=absent("new"), phase=STARTING),
        Shares({"old": 0}, "old", STARTING),
        id="the last one is waited for",
    ),
    pytest.param(
        scene(stable=side("old", 0), candidate=absent("new"), phase=STARTING),
        Shares({"old": 0, "new": 3}, "new", SHIFTING),
        id="then all new ones come, with the traffic",
    ),
    pytest.param(
        scene(traffic="bad", stable=side("old", 0), leftovers=(side("bad", 3, 0),)),
        Shares({"old": 0}, "old"),
        id="taken back: the traffic goes first",
    ),
    pytest.param(
        scene(stable=side("old", 0), leftovers=(side("bad", 3, 0),)),
        Shares({"old": 0}, "old", None, ("bad",)),
        id="then its pods",
    ),
    pytest.param(
        scene(stable=side("old", 0), leftovers=(absent("bad", pods=1),)),
        Shares({"old": 0}, "old"),
        id="the old version waits until they are gone",
    ),
    pytest.param(
        scene(stable=side("old", 0)),
        Shares({"old": 3}, "old"),
        id="then it is back",
    ),
    pytest.param(
        scene(leftovers=(side("older", 0),)),
        Shares({"old": 3}, "old", None, ("older",)),
        id="promoted: the old Deployment without pods goes",
    ),
    pytest.param(
        scene(traffic=ALL, stable=side("old", 2, 2), candidate=side("new", 2, 1), phase=SHIFTING),
        Shares({"old": 0, "new": 2}, ALL, STARTING),
        id="the strategy was changed in mid-rollout: what is ready serves on",
    ),
]


@pytest.mark.parametrize(("given", "expected"), ROLLING)
def test_rolling(given: Scene, expected: Shares) -> None:
    assert rolling.decide(given) == expected


@pytest.mark.parametrize(("given", "expected"), RECREATE)
def test_recreate(given: Scene, expected: Shares) -> None:
    assert recreate.decide(given) == expected
