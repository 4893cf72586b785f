"""The store: events in any order leave the newest truth."""

from __future__ import annotations

from typing import Any

import pytest

from crackseg_operator.core.observed import ChildKey
from crackseg_operator.shell.store import Key, Store

MODEL = Key("roads", "pavement")
OWNER = {
    "apiVersion": "crackseg.io/v1alpha1",
    "kind": "CrackSegModel",
    "name": "pavement",
    "uid": "u1",
    "controller": True,
}


def child(version: int, *, uid: str = "u1", **meta: Any) -> dict[str, Any]:
    owner = {**OWNER, "uid": uid}
    head = {"name": "pavement", "namespace": "roads", "resourceVersion": str(version), "ownerReferences": [owner]}
    return {"metadata": {**head, "managedFields": [{}], **meta}, "spec": {"at": version}}


def test_an_older_version_never_replaces_a_newer_one():
    store = Store()
    assert store.put("Service", child(5)) == MODEL
    assert store.put("Service", child(4)) is None
    assert store.children(MODEL, "u1")[ChildKey("Service", "pavement")]["spec"] == {"at": 5}


def test_the_echo_of_an_own_write_is_nothing_new():
    store = Store()
    store.put("Service", child(5))
    assert store.put("Service", child(5)) is None


def test_a_deleted_object_does_not_come_back_with_an_event_that_was_late():
    store = Store()
    store.put("Service", child(5))
    assert store.remove("Service", "roads", "pavement", 7) == MODEL
    assert store.put("Service", child(6)) is None
    assert store.children(MODEL, "u1") == {}
    assert store.put("Service", child(8)) == MODEL


def test_a_late_deletion_does_not_take_the_object_that_came_after_it():
    store = Store()
    store.put("Service", child(9))
    assert store.remove("Service", "roads", "pavement", 7) is None
    assert ChildKey("Service", "pavement") in store.children(MODEL, "u1")


def test_children_of_a_deleted_model_of_the_same_name_are_not_the_new_ones():
    store = Store()
    store.put("Service", child(5, uid="old"))
    assert store.children(MODEL, "new") == {}


def test_managed_fields_are_dropped():
    store = Store()
    store.put("Service", child(5))
    live = store.get("Service", "roads", "pavement")
    assert live
    assert "managedFields" not in live["metadata"]


def test_a_pod_belongs_to_the_model_its_label_names_and_keeps_little():
    store = Store()
    pod = {
        "metadata": {
            "name": "pavement-x",
            "namespace": "roads",
            "resourceVersion": "3",
            "labels": {"app.kubernetes.io/instance": "pavement"},
            "annotations": {"long": "text"},
        },
        "spec": {"nodeName": "n1", "containers": [{"env": ["much"]}]},
        "status": {"phase": "Running"},
    }
    assert store.put("Pod", pod) == MODEL
    kept = store.pods(MODEL)[0]
    assert kept["spec"] == {"nodeName": "n1"}
    assert kept["status"] == {"phase": "Running"}
    assert "annotations" not in kept["metadata"]


@pytest.mark.parametrize("change", [{"ownerReferences": []}, {"labels": {}, "ownerReferences": []}])
def test_a_child_that_is_released_wakes_nobody_twice(change: dict[str, Any]):
    store = Store()
    store.put("Service", child(5))
    store.put("Service", child(6, **change))
    assert store.children(MODEL, "u1") == {}
