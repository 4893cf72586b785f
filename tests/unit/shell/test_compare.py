"""Which differences need a write."""

from __future__ import annotations

from typing import Any

import pytest

from crackseg_operator.shell.compare import differences


def _pod(**spec: Any) -> dict[str, Any]:
    return {"kind": "Deployment", "spec": {"template": {"spec": spec}}}


def _kind(kind: str, **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "spec": spec}


SAME = [
    pytest.param({"spec": {"a": 1, "b": 2}}, {"spec": {"a": 1}}, id="a field that others own"),
    pytest.param(
        {"spec": {}}, {"spec": {"a": None, "b": {}, "c": [], "d": False}}, id="what the server drops as empty"
    ),
    pytest.param(
        {"metadata": {}}, {"kind": "Service", "apiVersion": "v1", "metadata": {}}, id="items of lists have no kind"
    ),
    pytest.param(
        _pod(containers=[{"name": "sidecar"}, {"name": "server", "image": "x", "env": [{"name": "A", "value": "1"}]}]),
        _pod(containers=[{"name": "server", "image": "x"}]),
        id="an injected sidecar",
    ),
    pytest.param(
        _pod(containers=[{"name": "s", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}]}]),
        _pod(containers=[{"name": "s", "ports": [{"containerPort": 80}]}]),
        id="a port with its default protocol",
    ),
    pytest.param(
        _kind("Service", ports=[{"port": 80, "protocol": "TCP", "nodePort": 30000}]),
        _kind("Service", ports=[{"port": 80}]),
        id="a port that got a node port",
    ),
    pytest.param(
        {"metadata": {"labels": {"ours": "1", "theirs": "2"}}},
        {"metadata": {"labels": {"ours": "1"}}},
        id="their label",
    ),
]

DIFFERENT = [
    pytest.param({"spec": {"a": 1}}, {"spec": {"a": 2}}, ".spec.a", id="another value"),
    pytest.param({"spec": {}}, {"spec": {"a": 1}}, ".spec.a", id="a field that is not there"),
    pytest.param(
        _pod(containers=[{"name": "server", "image": "evil"}]),
        _pod(containers=[{"name": "server", "image": "x"}]),
        ".spec.template.spec.containers[server].image",
        id="a container's image",
    ),
    pytest.param(
        _pod(containers=[{"name": "other"}]),
        _pod(containers=[{"name": "server"}]),
        ".spec.template.spec.containers[server]",
        id="a container that is gone",
    ),
    pytest.param(
        _kind("Service", selector={"app": "a", "evil": "b"}),
        _kind("Service", selector={"app": "a"}),
        ".spec.selector",
        id="a selector that selects less",
    ),
    pytest.param(
        _kind("Ingress", rules=[{"host": "a"}, {"host": "evil"}]),
        _kind("Ingress", rules=[{"host": "a"}]),
        ".spec.rules",
        id="an item more in a list that is ours as a whole",
    ),
    pytest.param(
        _kind("NetworkPolicy", ingress=[{"ports": [{"port": 80}, {"port": 22}]}]),
        _kind("NetworkPolicy", ingress=[{"ports": [{"port": 80}]}]),
        ".spec.ingress[0].ports",
        id="a port more in a NetworkPolicy",
    ),
    pytest.param({"spec": {"a": {"b": 1}}}, {"spec": {"a": []}}, ".spec.a", id="another type"),
]


@pytest.mark.parametrize(("live", "wanted"), SAME)
def test_no_write_is_needed_for(live: dict[str, Any], wanted: dict[str, Any]):
    assert differences(live, wanted) == {}


@pytest.mark.parametrize(("live", "wanted", "path"), DIFFERENT)
def test_a_write_is_needed_for(live: dict[str, Any], wanted: dict[str, Any], path: str):
    assert list(differences(live, wanted)) == [path]
