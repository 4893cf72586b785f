"""Whatever somebody does to a child is undone, and what others own is left alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.operator.cluster import CHILDREN, Operator, Space, running, uid, wait_for

pytestmark = pytest.mark.api

#: Kind -> a change of a field that the operator owns.
EDITS: dict[str, Any] = {
    "Deployment": [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil.example/x:1"}],
    "Service": {"spec": {"selector": {"app": "evil"}}},
    "ServiceAccount": {"automountServiceAccountToken": True},
    "Ingress": [{"op": "replace", "path": "/spec/rules/0/host", "value": "evil.example.org"}],
    "NetworkPolicy": {"spec": {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": "evil"}}}},
    "HorizontalPodAutoscaler": {"spec": {"maxReplicas": 99}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 2, "minAvailable": None}},
}
#: Kind -> an addition to a list that the operator owns as a whole.
ADDITIONS: dict[str, Any] = {
    "Ingress": [{"op": "add", "path": "/spec/rules/-", "value": {"host": "evil.example.org"}}],
    "NetworkPolicy": [{"op": "add", "path": "/spec/ingress/-", "value": {}}],
    "HorizontalPodAutoscaler": [
        {
            "op": "add",
            "path": "/spec/metrics/-",
            "value": {
                "type": "Resource",
                "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 50}},
            },
        }
    ],
}


@pytest.fixture(scope="module")
def home(
    make_space: Callable[[], Space], kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Space]:
    """A namespace with a model and a running operator, shared by the tests of this file."""
    space = make_space()
    with running(Operator(kubeconfig, tmp_path_factory.mktemp("drift") / "operator.log", space.name)):
        space.apply_model()
        space.settled()
        space.rest()
        yield space


def _child(space: Space, kind: str) -> dict[str, Any]:
    return next(child for child in space.children() if child["kind"] == kind)


@pytest.mark.parametrize("kind", CHILDREN)
def test_an_edited_field_is_put_back(home: Space, kind: str):
    before = _child(home, kind)
    changed = home.patch(kind, before["metadata"]["name"], EDITS[kind])
    assert _owned(changed) != _owned(before)
    wait_for(lambda: _owned(_child(home, kind)) == _owned(before), why=f"the {kind} is as before")


@pytest.mark.parametrize("kind", ADDITIONS)
def test_an_addition_to_an_owned_list_is_taken_out(home: Space, kind: str):
    before = _child(home, kind)
    home.patch(kind, before["metadata"]["name"], ADDITIONS[kind])
    wait_for(lambda: _owned(_child(home, kind)) == _owned(before), why=f"the {kind} is as before")


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_deleted_child_comes_back(home: Space, kind: str):
    before = _child(home, kind)
    home.delete(kind, before["metadata"]["name"])
    again = wait_for(lambda: next((c for c in home.children() if c["kind"] == kind and uid(c) != uid(before)), None))
    assert _owned(again) == _owned(before) or kind == "Service"  # a Service gets another address


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_child_that_lost_its_labels_gets_them_back(home: Space, kind: str):
    before = _child(home, kind)
    gone = dict.fromkeys(before["metadata"]["labels"])
    home.patch(kind, before["metadata"]["name"], {"metadata": {"labels": gone}})
    labels = before["metadata"]["labels"]
    wait_for(lambda: _child(home, kind)["metadata"].get("labels") == labels, why=f"the {kind} has its labels")
    assert uid(_child(home, kind)) == uid(before)


def test_what_others_add_stays_and_is_not_fought_over(home: Space):
    name = _child(home, "Deployment")["metadata"]["name"]
    sidecar = {"name": "sidecar", "image": "example.org/sidecar:1"}
    change = {
        "metadata": {"labels": {"team": "roads"}, "annotations": {"note": "theirs"}},
        "spec": {"template": {"spec": {"containers": [sidecar]}}},
    }
    before = len(home.rest())
    home.patch("Deployment", name, change)
    home.patch("Service", "pavement", {"metadata": {"annotations": {"theirs": "too"}}})
    assert home.rest()[before:] == []
    live = _child(home, "Deployment")
    assert live["metadata"]["labels"]["team"] == "roads"
    assert {container["name"] for container in live["spec"]["template"]["spec"]["containers"]} > {"sidecar"}


def test_one_who_undoes_our_write_each_time_is_not_fought_at_full_speed(home: Space):
    before, since = len(home.rest()), time.monotonic()
    for round_ in range(40):
        home.patch("HorizontalPodAutoscaler", "pavement", {"spec": {"maxReplicas": 50 + round_}})
        time.sleep(0.05)  # how one behaves who fights
    wait_for(lambda: _child(home, "HorizontalPodAutoscaler")["spec"]["maxReplicas"] == 5, why="it is ours")
    repairs = [write for write in home.quiet()[before:] if write.resource == "horizontalpodautoscalers"]
    tens = 1 + (time.monotonic() - since) // 10  # of seconds that have begun: ten repairs in each
    assert 1 <= len(repairs) <= 10 * tens


def _owned(raw: dict[str, Any]) -> dict[str, Any]:
    """Everything but what the API server and other controllers write."""
    meta = {name: raw["metadata"].get(name) for name in ("labels", "annotations")}
    annotations = {k: v for k, v in (meta["annotations"] or {}).items() if "deployment.kubernetes.io" not in k}
    rest = {name: value for name, value in raw.items() if name not in ("metadata", "status", "kind", "apiVersion")}
    rest.pop("secrets", None)
    return {"labels": meta["labels"], "annotations": annotations, **rest}
