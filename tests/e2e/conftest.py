"""The real cluster, the operator installed by helm, and a store of good and bad models: once for all stories."""

from __future__ import annotations

import os
import string
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.e2e.spaces import STORE, Space, space

from crackseg_demo import clusters, install, story
from crackseg_demo.clusters import Cluster
from crackseg_demo.kubectl import wait_until
from crackseg_demo.store import put, start_store
from crackseg_local import cluster as local
from crackseg_local.errors import LocalClusterError
from crackseg_models import bad

TIMINGS = pytest.StashKey[dict[str, float]]()
FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(600))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TIMINGS] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    timings = config.stash.get(TIMINGS, {})
    if timings:
        terminalreporter.section("seconds on the real cluster")
        for what, seconds in timings.items():
            terminalreporter.write_line(f"{seconds:7.1f} s  {what}")


@pytest.fixture(scope="session")
def note(pytestconfig: pytest.Config):
    """Note how long something took, for the table at the end."""

    def write(what: str, seconds: float) -> None:
        pytestconfig.stash[TIMINGS][what] = seconds

    return write


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster: the one that runs, or one brought up for the tests and taken down after them."""
    kind = os.environ.get("CLUSTER") or "local"
    if kind == "local" and (os.geteuid() != 0 or not sys.platform.startswith("linux")):
        pytest.skip("the local cluster needs root on Linux; CLUSTER=existing uses the one that KUBECONFIG names")
    ours = kind == "local" and not _is_running()
    try:
        with clusters.cluster(kind, lambda line: print(line, file=sys.stderr)) as up:
            yield up
    finally:
        if ours:
            local.down()


def _is_running() -> bool:
    try:
        local.running()
    except LocalClusterError:
        return False
    return True


@pytest.fixture(scope="session")
def operator(cluster: Cluster) -> Cluster:
    """The cluster with the operator installed, or upgraded, by helm."""
    install.install_operator(cluster)
    return cluster


@pytest.fixture(scope="session")
def models(operator: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster with a store that holds the sample models and every bad one."""
    good = story.SAMPLES / "pavement-2.0.0.onnx"
    files = [*bad.write(good, tmp_path_factory.mktemp("bad")), *story.SAMPLES.glob("pavement-*.onnx")]
    _remove(operator, [STORE])
    kubectl = operator.kubectl.within(STORE)
    operator.kubectl("create", "namespace", STORE)
    start_store(kubectl, operator.images.serving)
    vault = string.Template((FOLDER / "vault.yaml").read_text()).substitute(SERVING_IMAGE=operator.images.serving)
    kubectl.apply(vault)
    for file in files:
        put(kubectl, file.name, file.read_bytes())
    kubectl("rollout", "status", "deployment/vault", "--timeout=180s")
    yield operator
    _remove(operator, [STORE])


def _remove(cluster: Cluster, namespaces: list[str]) -> None:
    cluster.kubectl("delete", "namespace", *namespaces, "--ignore-not-found", "--timeout=300s")


@pytest.fixture
def here(models: Cluster, request: pytest.FixtureRequest) -> Iterator[Space]:
    """A namespace for one story."""
    name = request.node.name.removeprefix("test_").replace("_", "-").lower()
    with space(models, f"e2e-{name[:40].strip('-')}-{time.time_ns() // 1_000_000 % 1_000_000}") as opened:
        yield opened


@pytest.fixture(scope="session")
def photograph() -> bytes:
    """Grey grain with a dark line, as a JPEG: enough for a server to work on."""
    rng = np.random.default_rng(7)
    image = rng.normal(140, 12, (256, 256)).clip(0, 255).astype(np.uint8)
    cv2.line(image, (20, 30), (230, 220), 30, 4)
    return bytes(cv2.imencode(".jpg", image)[1])


@pytest.fixture(scope="session")
def restarted(operator: Cluster):
    """Restart the operator's pod and wait until a new one is ready."""
    kubectl = operator.kubectl.within(install.NAMESPACE)

    def restart() -> None:
        before = {pod["metadata"]["uid"] for pod in kubectl.items("pods")}
        kubectl("delete", "pods", "--all", "--grace-period=0", "--force")

        def fresh() -> bool:
            pods = kubectl.items("pods")
            return any(pod["metadata"]["uid"] not in before for pod in pods) and not any(
                pod["metadata"]["uid"] in before for pod in pods
            )

        wait_until(fresh, 120, "a new operator pod")
        kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=180s")

    return restart
