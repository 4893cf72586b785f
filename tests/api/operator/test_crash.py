"""The operator is killed before and after each of its writes, and every life ends in the same world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.api.operator.cluster import CHILDREN, Operator, Space, wait_for
from tests.api.operator.kubelet import Kubelet
from tests.api.operator.proxy import Proxy

from crackseg_local.controlplane import ControlPlane

pytestmark = [pytest.mark.api, pytest.mark.timeout(600)]


@pytest.fixture
def killed_at(plane: ControlPlane, kubeconfig: Path, tmp_path: Path, space: Space):
    """Run the scenario with the operator killed at its k-th write, each time anew, and start it again after it."""

    def run(scenario: Callable[[], Any], end: Callable[[], Any], *, write: int, when: str) -> None:
        with Proxy(plane.url, kubeconfig, tmp_path) as proxy:
            operator = Operator(proxy.kubeconfig, tmp_path / "operator.log", space.name)

            def kill(number: int) -> None:
                if number == write:
                    operator.kill()

            setattr(proxy, "before" if when == "before the write arrives" else "after", kill)
            try:
                operator.start(wait=False)
                scenario()
                wait_for(lambda: operator.process and operator.process.poll() is not None, why="killed")
                operator.start()
                wait_for(end, why="the end is reached")
                space.rest()
            finally:
                operator.stop()

    return run


def serve_and_stop(space: Space, operator: Operator) -> None:
    """Version 1.0.0 serves, and no operator runs any more."""
    operator.start()
    space.apply_model(version="1.0.0")
    wait_for(lambda: space.condition("Ready").get("status") == "True", why="1.0.0 serves")
    space.rest()
    operator.stop()


@pytest.mark.parametrize("when", ["before the write arrives", "before its answer is seen"])
@pytest.mark.parametrize("write", [1, 4, 8])
def test_killed_while_it_creates_it_ends_with_each_child_once(space: Space, killed_at: Any, write: int, when: str):
    def starting() -> bool:
        return space.condition("Ready").get("reason") == "Starting"

    killed_at(space.apply_model, starting, write=write, when=when)
    assert sorted(child["kind"] for child in space.children()) == sorted(CHILDREN)
    assert starting()
    created = [write for write in space.writes() if write.code == 201]
    assert len(created) == len(CHILDREN)  # none was made twice


@pytest.mark.parametrize("when", ["before the write arrives", "before its answer is seen"])
@pytest.mark.parametrize("write", [1, 3, 6])
def test_killed_in_mid_rollout_it_ends_with_the_new_version_alone(
    space: Space, stopped: Operator, killed_at: Any, write: int, when: str
):
    with Kubelet(space):
        serve_and_stop(space, stopped)
        killed_at(
            lambda: space.apply_model(version="2.0.0"),
            lambda: space.status().get("stable", {}).get("version") == "2.0.0",
            write=write,
            when=when,
        )
        deployments = [child for child in space.children() if child["kind"] == "Deployment"]
        versions = [deployment["metadata"]["labels"]["crackseg.io/model-version"] for deployment in deployments]
        serving = [d for d in deployments if d["spec"]["replicas"]]
        assert [d["metadata"]["labels"]["crackseg.io/model-version"] for d in serving] == ["2.0.0"], versions
        assert "candidate" not in space.status()


def test_a_version_that_fails_is_taken_back_once_even_if_the_operator_dies_on_the_way(
    space: Space, stopped: Operator, killed_at: Any
):
    with Kubelet(space) as kubelet:
        kubelet.broken.add("2.0.0")
        serve_and_stop(space, stopped)
        killed_at(
            lambda: space.apply_model(version="2.0.0"),
            lambda: space.status().get("failedRevisions"),
            write=3,
            when="before its answer is seen",
        )
        failed = space.status()["failedRevisions"]
        assert [(entry["version"], entry["reason"]) for entry in failed] == [("2.0.0", "ImagePullFailed")]
        assert space.status()["stable"]["version"] == "1.0.0"
        assert space.condition("Stalled")["status"] == "True"
