"""One control plane for this folder, with the CRD and the operator's own rights; a namespace for each test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.api.operator.cluster import Api, Operator, Space, install, running

from crackseg_local.controlplane import ControlPlane


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane(controllers=True) as started:
        yield started


@pytest.fixture(scope="session")
def kubeconfig(plane: ControlPlane) -> Path:
    return install(plane)


@pytest.fixture(scope="session")
def api(plane: ControlPlane) -> Api:
    return Api(plane.kubeconfig)


@pytest.fixture(scope="session")
def make_space(api: Api, plane: ControlPlane, kubeconfig: Path) -> Callable[[], Space]:
    def make() -> Space:
        name = f"t-{uuid.uuid4().hex[:8]}"
        api.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return Space(api, plane, name)

    return make


@pytest.fixture
def space(make_space: Callable[[], Space]) -> Space:
    return make_space()


@pytest.fixture
def stopped(space: Space, kubeconfig: Path, tmp_path: Path) -> Iterator[Operator]:
    """The operator of the test's namespace, not started yet."""
    operator = Operator(kubeconfig, tmp_path / "operator.log", space.name)
    yield operator
    operator.stop()


@pytest.fixture
def operator(stopped: Operator) -> Iterator[Operator]:
    with running(stopped) as started:
        yield started
