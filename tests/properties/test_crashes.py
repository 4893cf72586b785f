"""The operator dies after any write of any turn, its writes in any order: law 1 holds, and the end is the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.properties.cluster import Cluster

ORDERS = 4  # of the writes of one turn that go out in parallel


def model(version: str) -> dict[str, Any]:
    return {"uri": f"s3://models/{version}.onnx", "version": version}


def cluster(replicas: int = 3, strategy: str = "Rolling") -> Cluster:
    return Cluster({"model": model("1"), "replicas": replicas, "rollout": {"strategy": strategy}})


def to_the_next(cluster: Cluster) -> None:
    """What happens between two turns: pods end and come, and one more pod is ready (or has failed for good)."""
    cluster.controllers()
    cluster.end_pods()
    waiting = next((pod for pod in cluster.pods if not pod.ready and not pod.fault), None)
    if waiting:
        names = (child["metadata"] for child in cluster.objects.values())
        labels = next((meta["labels"] for meta in names if meta["name"] == f"pavement-{waiting.revision}"), {})
        if labels.get("crackseg.io/model-version", "").startswith("bad"):
            waiting.fault = "ContractMismatch"
        else:
            waiting.ready = True
    cluster.controllers()
    cluster.now += 3


def run(cluster: Cluster, turns: int = 60) -> Iterator[Cluster]:
    """Turn after turn until all is quiet; yields the cluster before each turn."""
    quiet = 0
    for _ in range(turns):
        yield cluster
        before = cluster.writes
        cluster.turn()
        settled = all(pod.ready or pod.fault for pod in cluster.pods)
        quiet = quiet + 1 if settled and cluster.writes == before else 0
        if quiet == 3:
            return
        to_the_next(cluster)
    raise AssertionError(f"no rest after {turns} turns: {cluster.deployments()} {cluster.status}")


def last(cluster: Cluster) -> Cluster:
    for _ in run(cluster):
        pass
    return cluster


def facts(cluster: Cluster) -> dict[str, Any]:
    """The end, without times and without the names of pods."""
    status = cluster.status
    return {
        "objects": {key: {**child, "status": None} for key, child in cluster.objects.items()},
        "stable": status["stable"]["version"],
        "candidate": status.get("candidate"),
        "failed": [entry["version"] for entry in status.get("failedRevisions", ())],
        "served": [entry["version"] for entry in status["history"]],
        "conditions": {entry["type"]: (entry["status"], entry["reason"]) for entry in status["conditions"]},
        "traffic": len(cluster.selected()),
    }


def update(cluster: Cluster) -> None:
    cluster.edit(model=model("2"))


def update_to_a_broken_version(cluster: Cluster) -> None:
    cluster.edit(model=model("bad"))


def update_and_scale(cluster: Cluster) -> None:
    cluster.edit(model=model("2"), replicas=cluster.spec["replicas"] + 1)


def change_of_mind(cluster: Cluster) -> None:
    cluster.edit(model=model("2"))
    for before in itertools.islice(run(cluster), 4):
        assert before is cluster
    cluster.edit(model=model("3"))


def second_thoughts(cluster: Cluster) -> None:
    cluster.edit(model=model("2"))
    for before in itertools.islice(run(cluster), 4):
        assert before is cluster
    cluster.edit(model=model("1"))


STORIES = [update, update_to_a_broken_version, update_and_scale, change_of_mind, second_thoughts]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__.replace("_", " "))
@pytest.mark.parametrize("strategy", ["Rolling", "Recreate"])
@pytest.mark.parametrize("replicas", [1, 3])
def test_a_crash_after_any_write_ends_in_the_same_world(
    story: Callable[[Cluster], None], strategy: str, replicas: int
) -> None:
    start = last(cluster(replicas, strategy))
    story(start)
    expected = facts(last(start.copy()))
    for before in run(start):
        writes = len(before.pending(before.plan()))
        for cut, order in itertools.product(range(writes), range(ORDERS)):
            crashed = before.copy()
            crashed.turn(cut=cut, shuffle=order)
            if strategy == "Rolling":
                check_capacity(before, crashed)
            if order == 0:
                to_the_next(crashed)
                assert facts(last(crashed)) == expected


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__.replace("_", " "))
@pytest.mark.parametrize("strategy", ["Rolling", "Recreate"])
def test_status_that_is_lost_once_changes_nothing_in_the_end(story: Callable[[Cluster], None], strategy: str) -> None:
    start = last(cluster(2, strategy))
    story(start)
    expected = facts(last(start.copy()))
    for before in run(start):
        crashed = before.copy()
        crashed.turn(lose_status=True)
        to_the_next(crashed)
        assert facts(last(crashed)) == expected


def check_capacity(before: Cluster, after: Cluster) -> None:
    """Law 1: answering pods do not fall below what is wanted, whatever part of the turn was written."""
    seen = after.copy()
    seen.controllers()
    assert len(seen.selected()) >= min(len(before.selected()), before.spec["replicas"])
    stable = before.status["stable"]["revision"]
    assert seen.deployments()[stable] >= 1


def test_a_turn_follows_by_itself_where_nothing_else_would_wake_it() -> None:
    """Our own writes wake nobody: the plan must ask for the next step itself."""
    asleep = last(cluster(1))
    asleep.edit(model=model("2"))
    asleep.turn()
    for _ in range(40):
        before = asleep.copy()
        to_the_next(asleep)  # the cluster moves …
        moved = [(pod.name, pod.ready) for pod in asleep.pods] != [(pod.name, pod.ready) for pod in before.pods]
        due = asleep.plan().requeue_after if not moved else 0
        if not moved:
            if due is None:
                break
            asleep.now += due
        for _ in range(5):  # … and each turn is followed by another only if its plan says so
            if asleep.turn().requeue_after != 0:
                break
    assert asleep.status["stable"]["version"] == "2"
    assert list(asleep.deployments().values()) == [1]
