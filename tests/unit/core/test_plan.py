"""Whole decisions: what is remembered, what is repaired, what is told, and that nothing a user writes breaks it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.properties.cluster import Cluster, Pod
from tests.unit.core.kubernetes import ended, fetch, owned, raw_model, raw_pod

from crackseg_operator.api.names import LABEL_REVISION
from crackseg_operator.core.observe import observe
from crackseg_operator.core.observed import ChildKey, Refusal
from crackseg_operator.core.plan import Plan, Settings, plan

SETTINGS = Settings("serving:1", "serving-gpu:1")
NEWER = Settings("serving:2", "serving-gpu:2")


def model(version: str) -> dict[str, Any]:
    return {"uri": f"s3://models/{version}.onnx", "version": version}


def settle(cluster: Cluster) -> Cluster:
    for _ in range(30):
        cluster.turn()
        cluster.controllers()
        cluster.end_pods()
        for pod in cluster.pods:
            pod.ready = True
        cluster.controllers()
        cluster.now += 10
    return cluster


def resting(**spec: Any) -> Cluster:
    return settle(Cluster({"model": model("1"), "replicas": 2, **spec}))


def in_mid_rollout() -> Cluster:
    cluster = resting()
    cluster.edit(model=model("2"))
    cluster.turn()
    cluster.controllers()
    return cluster


def of_kind(decided: Plan, kind: str) -> list[Any]:
    return [child for child in decided.world if child["kind"] == kind]


def condition(decided: Plan, kind: str = "Ready") -> dict[str, Any]:
    found = [entry for entry in decided.status["conditions"] if entry["type"] == kind]
    return dict(found[0]) if found else {}


def test_a_resting_model_needs_no_write_no_event_and_no_timer() -> None:
    cluster = resting(exposure={"host": "a.example.org"}, autoscaling={"maxReplicas": 3})
    decided = cluster.plan()
    assert cluster.pending(decided) == []
    assert (decided.events, decided.requeue_after, decided.outcome) == ((), None, None)


def test_a_new_model_costs_one_write_a_child_and_one_for_status() -> None:
    cluster = Cluster({"model": model("1"), "replicas": 2})
    decided = cluster.turn()
    assert cluster.writes == len(decided.world) + 1
    assert decided.events == ()
    assert decided.requeue_after, "nothing but time, or the cluster, goes on from here"
    assert cluster.pending(cluster.plan()) == []


def test_a_changed_autoscaler_costs_two_writes() -> None:
    cluster = resting(autoscaling={"maxReplicas": 3})
    before = cluster.writes
    cluster.edit(autoscaling={"maxReplicas": 4})
    cluster.turn()
    assert cluster.writes == before + 2


def test_a_plan_changes_nothing_that_it_is_given() -> None:
    cluster = in_mid_rollout()
    observed = cluster.observe()
    before = copy.deepcopy(observed)
    plan(observed, SETTINGS, cluster.now)
    assert observed == before


def test_the_stable_deployment_is_built_again_in_mid_rollout_though_the_spec_has_moved_on() -> None:
    cluster = in_mid_rollout()
    stable = cluster.status["stable"]["revision"]
    gone = cluster.objects.pop(ChildKey("Deployment", f"pavement-{stable}"))
    (built,) = [one for one in of_kind(cluster.plan(), "Deployment") if one["metadata"]["name"].endswith(stable)]
    assert built == {name: value for name, value in gone.items() if name != "status"}


def test_a_new_operator_with_another_default_image_rolls_nothing() -> None:
    cluster = resting()
    decided = plan(cluster.observe(), NEWER, cluster.now)
    assert cluster.pending(decided) == []


def test_a_candidate_keeps_its_image_when_the_operator_is_replaced_in_mid_rollout() -> None:
    cluster = in_mid_rollout()
    images = {
        container["image"]
        for deployment in of_kind(plan(cluster.observe(), NEWER, cluster.now), "Deployment")
        for container in deployment["spec"]["template"]["spec"]["containers"]
    }
    assert len(images) == 1
    assert "serving:2" not in images


@pytest.mark.parametrize("when", ["at rest", "in mid-rollout", "in quarantine"])
def test_the_serving_version_is_never_forgotten_though_status_is_lost(when: str) -> None:
    cluster = in_mid_rollout() if when == "in mid-rollout" else resting()
    if when == "in quarantine":
        cluster.edit(model=model("bad"))
        cluster.turn()
        cluster.controllers()
        cluster.pods[-1].fault = "ModelNotFound"
        cluster.turn()
        cluster.turn()
    stable = cluster.status["stable"]["revision"]
    cluster.status = {}
    decided = cluster.turn()
    assert (decided.status.get("stable") or decided.status.get("candidate"))["revision"] == stable
    assert cluster.deployments()[stable] == 2
    assert len(cluster.selected()) == 2


def test_a_status_of_another_make_is_read_as_far_as_it_goes() -> None:
    cluster = resting()
    cluster.status = {**cluster.status, "history": "unknown", "invented": {"a": 1}, "replicas": "many"}
    decided = cluster.plan()
    assert decided.status["stable"] == cluster.status["stable"]
    assert decided.status["replicas"] == 2


def test_children_of_another_uid_and_pods_of_another_name_are_not_ours() -> None:
    foreign = owned("Deployment", "pavement-x", spec={"replicas": 1}, status={"readyReplicas": 1})
    foreign["metadata"]["ownerReferences"][0]["uid"] = "somebody else"
    stranger = raw_pod()
    stranger["metadata"]["labels"]["app.kubernetes.io/instance"] = "other"
    observed = observe(raw_model(), {ChildKey("Deployment", "pavement-x"): foreign}, [stranger], {})
    assert (observed.children, observed.deployments, observed.pods) == ({}, (), ())


def test_a_changed_label_does_not_hide_whose_a_deployment_is() -> None:
    cluster = in_mid_rollout()
    candidate = cluster.status["candidate"]["revision"]
    key = ChildKey("Deployment", f"pavement-{candidate}")
    child = cluster.objects[key]
    labels = {**child["metadata"]["labels"], LABEL_REVISION: "nonsense"}
    cluster.objects[key] = {**child, "metadata": {**child["metadata"], "labels": labels}}
    decided = cluster.plan()
    assert decided.prune == ()
    assert {deployment.revision for deployment in cluster.observe().deployments} >= {candidate}


def test_a_model_that_is_being_deleted_is_left_alone() -> None:
    raw = raw_model(status={"observedGeneration": 1})
    raw["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert plan(observe(raw, {}, [], {}), SETTINGS, 0) == Plan((), (), {"observedGeneration": 1})


def refused(cluster: Cluster, child: ChildKey, reason: str) -> Plan:
    raw = {"name": "pavement", "namespace": "default", "uid": "model-uid", "generation": cluster.generation}
    whole = {"metadata": raw, "spec": cluster.spec, "status": cluster.status}
    observed = observe(whole, cluster.objects, [pod.raw() for pod in cluster.pods], {child: Refusal(reason, "No.")})
    return plan(observed, SETTINGS, cluster.now)


def test_a_child_that_cannot_be_written_is_told_and_the_rest_goes_on() -> None:
    decided = refused(resting(exposure={"host": "a.example.org"}), ChildKey("Ingress", "pavement"), "NameConflict")
    assert (condition(decided)["status"], condition(decided)["reason"]) == ("False", "NameConflict")
    assert condition(decided, "Stalled")["status"] == "True"
    assert condition(decided, "Available")["status"] == "True"
    assert of_kind(decided, "Deployment")
    assert of_kind(decided, "Ingress"), "it is wanted still, and tried again"


def test_a_candidate_whose_deployment_is_rejected_is_taken_back_at_once() -> None:
    cluster = in_mid_rollout()
    key = ChildKey("Deployment", f"pavement-{cluster.status['candidate']['revision']}")
    decided = refused(cluster, key, "ApplyRejected")
    assert [failed["reason"] for failed in decided.status["failedRevisions"]] == ["ApplyRejected"]
    assert decided.outcome is not None
    assert decided.outcome.result == "RolledBack"


def test_an_operator_that_finds_an_autoscaled_model_growing_calls_it_ready() -> None:
    cluster = resting(autoscaling={"minReplicas": 2, "maxReplicas": 9})
    cluster.edit(replicas=5)
    assert condition(cluster.plan())["status"] == "True"
    without = resting()
    without.edit(replicas=5)
    assert condition(without.plan())["status"] == "False"


def test_a_disruption_budget_is_there_only_where_it_can_help() -> None:
    assert not of_kind(resting(replicas=1).plan(), "PodDisruptionBudget")
    assert of_kind(resting(replicas=2).plan(), "PodDisruptionBudget")
    assert of_kind(resting(replicas=1, autoscaling={"maxReplicas": 2}).plan(), "PodDisruptionBudget")


def test_what_the_spec_no_longer_asks_for_is_pruned() -> None:
    cluster = resting(exposure={"host": "a.example.org"}, autoscaling={"maxReplicas": 3})
    cluster.edit(exposure=None, autoscaling=None, replicas=1)
    assert {key.kind for key in cluster.plan().prune} == {"Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget"}


def test_the_digest_that_pods_found_is_recorded_and_kept() -> None:
    cluster = resting()
    stable = cluster.status["stable"]["revision"]
    digest = "sha256:" + "a" * 64
    done = {**fetch(state=ended(0, "Completed", json.dumps({"digest": digest}))), "ready": True}
    pods = [raw_pod(stable, f"pod-{n}", initContainerStatuses=[done]) for n in range(2)]
    raw = {"name": "pavement", "namespace": "roads", "uid": "model-uid", "generation": 1}
    whole = {"metadata": raw, "spec": cluster.spec, "status": cluster.status}
    decided = plan(observe(whole, cluster.objects, pods, {}), SETTINGS, cluster.now)
    assert decided.status["stable"]["digest"] == digest
    assert condition(decided, "ModelVerified")["status"] == "True"
    cluster.status = dict(decided.status)
    assert cluster.plan().status["stable"]["digest"] == digest


def test_one_bad_revision_after_another_does_not_grow_status_without_bound() -> None:
    cluster = resting()
    for number in range(14):
        cluster.edit(model=model(f"bad-{number}"))
        for _ in range(3):
            cluster.turn()
            cluster.controllers()
            for pod in cluster.pods:
                pod.fault = "" if pod.ready else "PointerFile"
        cluster.turn()
    versions = [failed["version"] for failed in cluster.status["failedRevisions"]]
    assert versions == [f"bad-{number}" for number in range(4, 14)]


def test_history_is_as_long_as_the_spec_allows() -> None:
    cluster = resting(rollout={"historyLimit": 2})
    for version in ("2", "3", "4"):
        cluster.edit(model=model(version))
        settle(cluster)
    assert [past["version"] for past in cluster.status["history"]] == ["4", "3"]


def test_a_retry_gives_a_quarantined_revision_one_more_chance() -> None:
    cluster = resting()
    cluster.edit(model=model("2"))
    cluster.turn()
    cluster.controllers()
    cluster.pods.append(Pod("broken", cluster.status["candidate"]["revision"], fault="ModelAccessDenied"))
    cluster.turn()
    assert condition(cluster.turn(), "RolledBack")["reason"] == "ModelAccessDenied"
    cluster.end_pods()
    settle(cluster)
    assert cluster.status["stable"]["version"] == "1"
    cluster.annotations = {"crackseg.io/retry": "now"}
    settle(cluster)
    assert cluster.status["stable"]["version"] == "2"
    assert not cluster.status.get("failedRevisions")
    assert condition(cluster.plan(), "RolledBack") == {}


def test_with_rollback_disabled_a_failed_candidate_is_left_for_a_person_and_goes_on_when_it_recovers() -> None:
    cluster = resting(rollout={"rollback": "Disabled"})
    cluster.edit(model=model("2"))
    cluster.turn()
    cluster.controllers()
    broken = cluster.pods[-1]
    broken.fault = "ModelNotFound"
    decided = cluster.turn()
    assert condition(decided, "Stalled")["reason"] == "ModelNotFound"
    assert cluster.status["candidate"]["version"] == "2"
    assert len(cluster.selected()) == 2
    broken.fault = ""
    settle(cluster)
    assert cluster.status["stable"]["version"] == "2"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["model", "serving", "replicas", "autoscaling", "rollout", "exposure"]
RECORDS = ["stable", "candidate", "rollout", "conditions", "failedRevisions", "history", "retried", "replicas"]


@given(
    spec=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
    status=st.dictionaries(st.sampled_from(RECORDS), JSON, max_size=4),
)
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
def test_whatever_is_stored_there_is_a_plan(spec: dict[str, Any], status: dict[str, Any]) -> None:
    raw = raw_model(status=status)
    raw["spec"] |= spec
    decided = plan(observe(raw, {}, [], {}), SETTINGS, 1000.0)
    assert condition(decided)["status"] in ("True", "False")
    assert decided.status["observedGeneration"] == 1
