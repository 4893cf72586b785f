"""Faults of the cluster around the operator: it misses events, meets refusals, loses its API server."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.api.operator.cluster import CHILDREN, Operator, Space, running, uid, wait_for
from tests.api.operator.proxy import Proxy

from crackseg_local.controlplane import ControlPlane

pytestmark = pytest.mark.api


@pytest.fixture
def proxy(plane: ControlPlane, kubeconfig: Path, tmp_path: Path) -> Iterator[Proxy]:
    with Proxy(plane.url, kubeconfig, tmp_path) as started:
        yield started


@pytest.fixture
def behind(proxy: Proxy, space: Space, tmp_path: Path) -> Iterator[Operator]:
    """The operator behind the proxy, with a model at rest."""
    with running(Operator(proxy.kubeconfig, tmp_path / "operator.log", space.name)) as operator:
        space.apply_model()
        space.settled()
        space.rest()
        yield operator


def _refusals(space: Space, resource: str) -> list[dt.datetime]:
    """When the operator's writes of this resource came that were refused."""
    refused = [write for write in space.writes() if write.resource == resource and write.code in (403, 422)]
    return sorted(dt.datetime.fromisoformat(write.at) for write in refused)


def _later_and_later(times: list[dt.datetime]) -> bool:
    """Whether 0.3 s at least are between the first tries, and twice that between the next; what is busy makes it more, never less."""
    return all(distance > 0.3 * 2**number for number, distance in enumerate(_distances(times)))


def _distances(times: list[dt.datetime]) -> list[float]:
    return [(later - sooner).total_seconds() for sooner, later in pairwise(times)]


def test_a_deletion_missed_in_a_gap_of_the_watch_is_repaired_when_the_watch_is_back(
    space: Space, proxy: Proxy, behind: Operator
):
    before = next(child for child in space.children() if child["kind"] == "Ingress")
    proxy.cut("ingresses")
    space.delete("Ingress", before["metadata"]["name"])
    assert not [child for child in space.children() if child["kind"] == "Ingress"]
    proxy.expire("ingresses")
    again = wait_for(lambda: space.get("Ingress", before["metadata"]["name"]), why="the Ingress is back")
    assert uid(again) != uid(before)


def test_an_outage_of_the_api_server_ends_nothing_and_is_made_up_for(
    space: Space, plane: ControlPlane, operator: Operator
):
    space.apply_model()
    space.settled()
    plane.stop_apiserver()
    plane.start_apiserver()
    space.apply_model("second")
    space.settled("second")
    space.delete("Service", "pavement")
    wait_for(lambda: space.get("Service", "pavement"), why="the Service is back")
    assert operator.process
    assert operator.process.poll() is None
    assert operator.ask("/healthz") == "ok\n"


def test_a_busy_api_server_is_asked_again_when_it_said_to_and_other_models_go_on(
    space: Space, proxy: Proxy, behind: Operator
):
    tries: list[float] = []

    def busy(method: str, path: str) -> tuple[int, dict[str, str]] | None:
        if method == "PATCH" and "/ingresses/busy" in path and len(tries) < 2:
            tries.append(time.monotonic())
            return 429, {"Retry-After": "1"}
        return None

    proxy.fail = busy
    space.apply_model("busy")
    space.apply_model("other")
    space.settled("other")
    wait_for(lambda: space.get("Ingress", "busy"), why="the Ingress that had to wait")
    assert len(tries) == 2
    assert tries[1] - tries[0] > 0.99


def test_an_object_of_somebody_else_is_left_alone_and_named(space: Space, operator: Operator):
    foreign = space.create("Service", {"metadata": {"name": "pavement"}, "spec": {"ports": [{"port": 9999}]}})
    space.apply_model()
    stalled = wait_for(lambda: (found := space.condition("Stalled")) and found["status"] == "True" and found)
    assert stalled["reason"] == "NameConflict"
    assert "Service pavement" in stalled["message"]
    live = space.get("Service", "pavement")
    assert live
    assert (live["spec"]["ports"], live["metadata"].get("labels")) == (
        foreign["spec"]["ports"],
        foreign["metadata"].get("labels"),
    )
    assert len(space.children()) == len(CHILDREN) - 1
    space.delete("Service", "pavement")
    wait_for(lambda: len(space.children()) == len(CHILDREN), why="the name is free, so it is taken")
    wait_for(lambda: space.condition("Stalled").get("status") != "True", why="no longer stalled")


def test_an_orphan_of_a_model_of_the_same_name_is_adopted(space: Space, operator: Operator):
    space.apply_model()
    space.settled()
    before = {uid(child) for child in space.children()}
    space.delete("CrackSegModel", "pavement", propagation="Orphan")
    wait_for(lambda: space.get("CrackSegModel", "pavement") is None, why="the model is gone")
    wait_for(lambda: not space.list("Ingress")[0]["metadata"].get("ownerReferences"), why="its children are orphans")
    space.apply_model()
    wait_for(lambda: {uid(child) for child in space.children()} == before, why="the new model owns them")


def test_a_model_made_again_at_once_gets_children_of_its_own(space: Space, operator: Operator):
    space.apply_model()
    space.settled()
    before = {uid(child) for child in space.children()}
    space.delete("CrackSegModel", "pavement")
    space.apply_model()
    wait_for(lambda: len(space.children()) == len(CHILDREN), why="the new model has all its children")
    assert not before & {uid(child) for child in space.children()}
    space.settled()
    wait_for(lambda: space.condition("Ready")["reason"] != "NameConflict", why="no name is somebody else's")


def test_a_quota_is_named_and_not_run_against(space: Space, operator: Operator):
    space.create("ResourceQuota", {"metadata": {"name": "none"}, "spec": {"hard": {"services": "0"}}})
    wait_for(
        lambda: (space.get("ResourceQuota", "none") or {}).get("status", {}).get("hard"), why="the quota is counted"
    )
    space.apply_model()
    stalled = wait_for(lambda: (found := space.condition("Stalled")) and found["status"] == "True" and found)
    assert stalled["reason"] == "QuotaExceeded"
    wait_for(lambda: len(_refusals(space, "services")) >= 3, why="it is tried again")
    assert _later_and_later(_refusals(space, "services"))
    space.delete("ResourceQuota", "none")
    wait_for(lambda: space.get("Service", "pavement"), why="the Service, once there is room")


def test_a_namespace_that_goes_away_is_left_in_peace(space: Space, proxy: Proxy, behind: Operator):
    space.create("ConfigMap", {"metadata": {"name": "held", "finalizers": ["example.org/held"]}})
    before = len(space.rest())
    proxy.cut("cracksegmodels")  # the model seems to live on while its children go, as some do for seconds
    space.api.call("DELETE", f"/api/v1/namespaces/{space.name}")
    wait_for(lambda: any(write.code == 403 for write in space.writes()), why="a child is not made anew")
    wait_for(lambda: "is being deleted" in behind.log.read_text(), why="the log says why")
    after = space.quiet(3.0)[before:]
    known = next(number for number, write in enumerate(after) if write.code == 403)
    assert not [write for write in after[known:] if write.resource == "cracksegmodels"]  # it is told nothing new
    for resource in {write.resource for write in after}:
        assert all(distance > 9 for distance in _distances(_refusals(space, resource)))  # seconds
    space.patch("ConfigMap", "held", {"metadata": {"finalizers": None}})


def test_what_the_api_server_rejects_is_told_in_its_own_words(space: Space, operator: Operator):
    labels = {"app.kubernetes.io/managed-by": "crackseg-operator", "app.kubernetes.io/instance": "pavement"}
    space.apply_model()
    space.settled()
    deployment = next(child for child in space.children() if child["kind"] == "Deployment")
    name = deployment["metadata"]["name"]
    space.delete("CrackSegModel", "pavement")
    wait_for(lambda: not space.list("Deployment"), why="the garbage collector is done")
    selector = {"matchLabels": {"somebody": "else"}}
    pod = {"metadata": {"labels": {"somebody": "else"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    orphan = {"metadata": {"name": name, "labels": labels}, "spec": {"selector": selector, "template": pod}}
    space.create("Deployment", orphan)
    space.apply_model()
    stalled = wait_for(lambda: (found := space.condition("Stalled")) and found["status"] == "True" and found)
    assert stalled["reason"] == "ApplyRejected"
    assert "immutable" in stalled["message"]
    wait_for(lambda: len(_refusals(space, "deployments")) >= 3, why="it is tried again")
    assert _later_and_later(_refusals(space, "deployments"))


def test_the_status_of_every_generation_is_judged_and_never_goes_back(space: Space, operator: Operator):
    space.apply_model()
    seen = [0]
    for maximum in range(6, 16):
        space.patch("CrackSegModel", "pavement", {"spec": {"autoscaling": {"maxReplicas": maximum}}})
        model = space.get("CrackSegModel", "pavement")
        assert model
        observed = model.get("status", {}).get("observedGeneration", 0)
        assert seen[-1] <= observed <= model["metadata"]["generation"]
        seen.append(observed)
    assert space.settled()["status"]["observedGeneration"] == 11
    autoscaler = space.get("HorizontalPodAutoscaler", "pavement")
    assert autoscaler
    assert autoscaler["spec"]["maxReplicas"] == 15


def test_scale_goes_through_the_model_to_its_pods(space: Space, operator: Operator):
    space.apply_model(autoscaling=None)
    space.settled()
    space.patch("CrackSegModel", "pavement", {"spec": {"replicas": 5}}, sub="/scale")
    wait_for(lambda: [d["spec"]["replicas"] for d in space.list("Deployment")] == [5], why="five pods are wanted")
    scale = wait_for(
        lambda: (found := space.get("CrackSegModel", "pavement/scale")) and found["status"]["replicas"] == 5 and found
    )
    assert "app.kubernetes.io/instance=pavement" in scale["status"]["selector"]


def test_the_autoscaler_targets_the_model(space: Space, operator: Operator):
    space.apply_model()
    space.settled()
    autoscaler = wait_for(lambda: space.get("HorizontalPodAutoscaler", "pavement"))
    target = {"apiVersion": "crackseg.io/v1alpha1", "kind": "CrackSegModel", "name": "pavement"}
    assert autoscaler["spec"]["scaleTargetRef"] == target
