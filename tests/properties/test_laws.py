"""Laws 1 to 3, for any order of events: hypothesis drives a simulated cluster, crashes and lost writes included."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.properties.cluster import Cluster, Pod

from crackseg_operator.api.names import ANNOTATION_RETRY

VERSIONS = st.sampled_from(["1", "2", "3", "4", "bad-1", "bad-2"])


def model(version: str) -> dict[str, Any]:
    return {"uri": f"s3://models/{version}.onnx", "version": version}


class Rollouts(RuleBasedStateMachine):
    """A person, an operator that may die, and a cluster that does as it likes. Rolling only: Recreate has its own laws."""

    strategies = ("Rolling",)

    @initialize(version=VERSIONS, replicas=st.integers(0, 4))
    def apply(self, version: str, replicas: int) -> None:
        self.cluster = Cluster({"model": model(version), "replicas": replicas, "rollout": self.policy()})
        self.versions: dict[str, str] = {}
        self.fresh = True  # nothing has happened since the last whole turn

    def policy(self, strategy: str = "Rolling", rollback: str = "Automatic") -> dict[str, Any]:
        return {"strategy": strategy, "rollback": rollback, "progressDeadlineSeconds": 60}

    # --- a person
    @rule(version=VERSIONS)
    def name_version(self, version: str) -> None:
        self.cluster.edit(model=model(version))
        self.fresh = False

    @rule(replicas=st.integers(0, 4))
    def scale(self, replicas: int) -> None:
        self.cluster.edit(replicas=replicas)
        self.fresh = False

    @rule(data=st.data(), rollback=st.sampled_from(["Automatic", "Disabled"]))
    def change_policy(self, data: st.DataObject, rollback: str) -> None:
        self.cluster.edit(rollout=self.policy(data.draw(st.sampled_from(self.strategies)), rollback))
        self.fresh = False

    @rule(value=st.integers(1, 5))
    def ask_again(self, value: int) -> None:
        self.cluster.annotations = {ANNOTATION_RETRY: str(value)}
        self.fresh = False

    # --- the operator
    @rule(shuffle=st.integers(0, 50))
    def turn(self, shuffle: int) -> None:
        self._turn(None, shuffle=shuffle)
        self.fresh = True

    @rule(cut=st.integers(0, 6), shuffle=st.integers(0, 50))
    def turn_cut(self, cut: int, shuffle: int) -> None:
        self._turn(cut, shuffle=shuffle)
        self.fresh = False

    @rule()
    def turn_with_lost_status(self) -> None:
        self._turn(None, lose_status=True)
        self.fresh = False

    def _turn(self, cut: int | None, **how: Any) -> None:
        before = self.cluster.copy()
        for revision in (before.status.get("stable"), before.status.get("candidate")):
            if revision:
                self.versions[revision["revision"]] = revision["version"]
        decided = self.cluster.turn(cut=cut, **how)
        assert decided.requeue_after is None or decided.requeue_after >= 0
        self._check_capacity(before)
        self._check_quarantine(before)

    def _check_capacity(self, before: Cluster) -> None:
        """Law 1: no turn takes answering pods away below what is wanted."""
        after = self.cluster.copy()
        after.controllers()
        floor = min(len(before.selected()), after.spec["replicas"])
        assert len(after.selected()) >= floor, (before.deployments(), after.deployments())
        stable = (before.status.get("stable") or {}).get("revision")
        if stable in before.deployments() and after.spec["replicas"]:
            assert after.deployments()[stable] >= min(1, before.deployments()[stable])

    def _check_quarantine(self, before: Cluster) -> None:
        """Law 3: nothing that was taken back gets a pod more."""
        annotation = before.annotations.get(ANNOTATION_RETRY)
        if annotation is not None and annotation != before.status.get("retried"):
            return
        had = before.deployments()
        for failed in before.status.get("failedRevisions", ()):
            revision = failed["revision"]
            assert self.cluster.deployments().get(revision, 0) <= had.get(revision, 0)

    # --- the cluster
    @rule()
    def controllers(self) -> None:
        self.cluster.controllers()
        self.fresh = False

    @rule()
    def end_pods(self) -> None:
        self.cluster.end_pods()
        self.fresh = False

    @rule(pick=st.integers(0, 20))
    def pod_starts(self, pick: int) -> None:
        if waiting := [pod for pod in self.cluster.pods if not pod.ready and not pod.deleting]:
            self._start(waiting[pick % len(waiting)])

    def _start(self, pod: Pod) -> None:
        if self._is_bad(pod):
            pod.fault = "ModelNotFound"
        else:
            pod.ready, pod.fault = True, ""
        self.cluster.controllers()
        self.fresh = False

    def _is_bad(self, pod: Pod) -> bool:
        children = self.cluster.objects.values()
        mine = (child for child in children if child["metadata"]["name"] == f"pavement-{pod.revision}")
        return any(child["metadata"]["labels"]["crackseg.io/model-version"].startswith("bad") for child in mine)

    @rule(pick=st.integers(0, 20))
    def pod_fails(self, pick: int) -> None:
        if self.cluster.pods:
            self.cluster.pods[pick % len(self.cluster.pods)].ready = False
            self.cluster.controllers()
            self.fresh = False

    @rule(seconds=st.sampled_from([1, 5, 30, 100]))
    def wait(self, seconds: int) -> None:
        self.cluster.now += seconds
        self.fresh = False

    @rule(pick=st.integers(0, 20))
    @precondition(lambda self: self.cluster.objects)
    def delete_child(self, pick: int) -> None:
        keys = sorted(self.cluster.objects)
        del self.cluster.objects[keys[pick % len(keys)]]
        self.cluster.controllers()
        self.fresh = False

    # --- what always holds
    @invariant()
    def the_order_of_objects_does_not_matter(self) -> None:
        if hasattr(self, "cluster"):
            one = self.cluster.plan()
            assert one == self.cluster.plan_reversed()

    @invariant()
    def status_is_right_after_a_whole_turn(self) -> None:
        if not getattr(self, "fresh", False) or not self.cluster.status:
            return
        status, revisions = self.cluster.status, []
        assert status["observedGeneration"] == self.cluster.generation
        for name in ("stable", "candidate"):
            if revision := status.get(name):
                revisions.append(revision)
                assert revision["weightPercent"] == 0 or revision["readyReplicas"] > 0
        others = set(self.cluster.deployments()) - {revision["revision"] for revision in revisions}
        if not others and revisions:
            total = sum(revision["weightPercent"] for revision in revisions)
            assert total == (100 if self.cluster.selected() else 0)
        kinds = {condition["type"]: condition for condition in status["conditions"]}
        assert ("Stalled" in kinds) + ("Reconciling" in kinds) == (kinds["Ready"]["status"] == "False")
        assert kinds["Available"]["status"] == str(bool(self.cluster.selected()))

    def teardown(self) -> None:
        """Whatever has happened: when the cluster behaves, it comes to rest, with no orphan and no quarantined pod."""
        if hasattr(self, "cluster"):
            self._calm()
            self._check_rest()

    def _calm(self) -> None:
        for _ in range(200):
            moved = bool(self.cluster.pending(self.cluster.plan()))
            self._turn(None)
            self.cluster.controllers()
            self.cluster.end_pods()
            for pod in self.cluster.pods:
                moved |= not pod.ready and not pod.fault
                self._start(pod)
            self.cluster.now += 30
            if not moved and not self.cluster.pending(self.cluster.plan()):
                return
        raise AssertionError("no rest after 200 turns")

    def _check_rest(self) -> None:
        cluster = self.cluster
        writes, decided = cluster.writes, cluster.turn()
        assert cluster.writes == writes, "a resting world is written to"
        assert not decided.events
        version, status = cluster.spec["model"]["version"], cluster.status
        failed = {entry["version"] for entry in status.get("failedRevisions", ())}
        if version.startswith("bad") and cluster.spec["replicas"]:
            assert cluster.ready_condition()["status"] == "False"
        elif version not in failed:
            assert cluster.ready_condition()["status"] == "True"
            assert set(cluster.deployments()) == {status["stable"]["revision"]}
            assert status["stable"]["version"] == version
        lacks = "stable" in status and status["stable"]["readyReplicas"] < cluster.spec["replicas"]
        if "stable" in status and "candidate" not in status and not lacks:  # what stable lacks, others may fill
            assert cluster.deployments() == {status["stable"]["revision"]: cluster.spec["replicas"]}
        allowed = {"pavement", *(f"pavement-{revision}" for revision in cluster.deployments())}
        assert {key.name for key in cluster.objects} <= allowed


class AnyStrategy(Rollouts):
    """The strategy itself changes in mid-rollout: law 1 then has gaps, but everything comes to rest without orphans."""

    strategies = ("Rolling", "Recreate")

    def _check_capacity(self, before: Cluster) -> None:
        """Recreate gives the capacity away on purpose."""


TestRolling = Rollouts.TestCase
TestAnyStrategy = AnyStrategy.TestCase
