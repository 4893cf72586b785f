"""What one YAML becomes, and how many writes it takes."""

from __future__ import annotations

import re

import pytest
from tests.api.operator.cluster import CHILDREN, Operator, Space, running, wait_for
from tests.api.operator.kubelet import Kubelet

pytestmark = pytest.mark.api


def test_a_model_becomes_one_object_of_each_kind_with_one_write_each_and_one_for_status(
    space: Space, operator: Operator
):
    space.apply_model()
    model = space.settled()
    children = wait_for(lambda: (found := space.children()) and len(found) == len(CHILDREN) and found)
    assert sorted(child["kind"] for child in children) == sorted(CHILDREN)
    writes = space.rest()
    first = [write for write in writes if write.resource != "cracksegmodels"]
    assert [write.code for write in first] == [201] * len(CHILDREN)
    status = [write for write in writes if write.resource == "cracksegmodels"]
    # One decision when the model is seen, one when the Deployment tells that its two pods exist: perhaps of one first.
    assert 1 <= len(status) <= 3
    assert all(write.subresource == "status" for write in status)
    assert model["status"]["conditions"]


def test_children_are_applied_with_one_field_manager_and_owned_by_the_model(space: Space, operator: Operator):
    space.apply_model()
    model = space.settled()
    for child in space.children():
        managers = {
            field["manager"]: field for field in child["metadata"]["managedFields"] if "subresource" not in field
        }
        assert managers["crackseg-operator"]["operation"] == "Apply"
        owner = child["metadata"]["ownerReferences"]
        assert [(reference["uid"], reference["controller"]) for reference in owner] == [
            (model["metadata"]["uid"], True)
        ]
    assert "finalizers" not in model["metadata"]
    assert "annotations" not in model["metadata"]


def test_a_ready_model_stays_untouched_in_rest_and_on_restart(space: Space, stopped: Operator):
    with Kubelet(space), running(stopped):
        space.apply_model()
        wait_for(lambda: space.condition("Ready").get("status") == "True", why="Ready")
        before = space.rest()
        stopped.stop()
        stopped.start()
        wait_for(lambda: _reconciles(stopped) >= 1, why="the restarted operator has looked at the model")
        assert space.quiet(3.0) == before


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_written_in_a_minute_of_rest(space: Space, operator: Operator):
    with Kubelet(space):
        space.apply_model()
        wait_for(lambda: space.condition("Ready").get("status") == "True", why="Ready")
        before = space.rest()
        assert space.quiet(60.0) == before


def test_an_autoscaler_change_is_one_write_to_it_and_one_to_status(space: Space, operator: Operator):
    space.apply_model()
    space.settled()
    before = len(space.rest())
    space.patch("CrackSegModel", "pavement", {"spec": {"autoscaling": {"maxReplicas": 7}}})
    space.settled()
    written = [(write.resource, write.subresource) for write in space.quiet()[before:]]
    assert written == [("horizontalpodautoscalers", ""), ("cracksegmodels", "status")]


def test_children_die_with_their_model_and_nothing_holds_it_back(space: Space, operator: Operator):
    space.apply_model()
    space.settled()
    assert space.children()
    space.delete("CrackSegModel", "pavement")
    assert space.get("CrackSegModel", "pavement") is None
    owned = "app.kubernetes.io/managed-by"
    wait_for(
        lambda: not [c for kind in CHILDREN for c in space.list(kind) if owned in c["metadata"].get("labels", {})],
        why="the garbage collector has taken all children",
    )


def test_a_model_deleted_as_soon_as_it_was_applied_leaves_nothing(space: Space, operator: Operator):
    for number in range(10):
        space.apply_model(f"m{number}")
        space.delete("CrackSegModel", f"m{number}")
    space.quiet()
    wait_for(lambda: not space.list("Deployment") and not space.list("Ingress"), why="nothing is left")
    assert not space.list("CrackSegModel")


@pytest.mark.timeout(600)
def test_two_hundred_models_at_once_all_get_their_children_with_the_fewest_writes(space: Space, operator: Operator):
    for number in range(200):
        space.apply_model(f"m{number:03}")
    wait_for(
        lambda: all(
            model.get("status", {}).get("observedGeneration") == model["metadata"]["generation"]
            for model in space.list("CrackSegModel")
        ),
        seconds=400,
        why="all are judged",
    )
    space.quiet()
    for kind in CHILDREN:
        owned = [child for child in space.list(kind) if child["metadata"].get("ownerReferences")]
        assert len(owned) == 200, kind
    children = [write for write in space.writes() if write.resource != "cracksegmodels"]
    assert [write for write in children if write.code != 201] == []
    assert len(children) == 200 * len(CHILDREN)


def _reconciles(operator: Operator) -> float:
    found = re.search(r'reconciles_total\{result="ok"\} (\S+)', operator.ask("/metrics"))
    return float(found[1]) if found else 0.0
