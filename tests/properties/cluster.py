"""A small pure cluster: an object store with server-side apply, and the controllers that make pods of Deployments.

Used by the property tests. Everything that a real cluster does by itself is a method that a test calls whenever it
likes: pods start, become ready, crash, end; the operator's writes are cut; its status writes get lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from crackseg_operator.api.names import LABEL_INSTANCE, LABEL_REVISION
from crackseg_operator.core.observe import observe
from crackseg_operator.core.observed import ChildKey, Observed
from crackseg_operator.core.plan import Plan, Settings, plan

SETTINGS = Settings("registry.example/serving:1", "registry.example/serving-gpu:1")
UID = "model-uid"


@dataclass
class Pod:
    name: str
    revision: str
    ready: bool = False
    deleting: bool = False
    fault: str = ""  # a reason that its init container reported, or ImagePullBackOff, or OOMKilled

    def raw(self) -> dict[str, Any]:
        meta: dict[str, Any] = {"name": self.name, "namespace": "default"}
        meta["labels"] = {LABEL_INSTANCE: "pavement", LABEL_REVISION: self.revision}
        if self.deleting:
            meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        truth = str(self.ready)
        conditions = [{"type": "Ready", "status": truth}, {"type": "ContainersReady", "status": truth}]
        status: dict[str, Any] = {"phase": "Running", "conditions": conditions}
        if self.fault:
            ended = {"exitCode": 1, "reason": "Error", "message": f'{{"reason": "{self.fault}", "message": "Broken"}}'}
            status["initContainerStatuses"] = [
                {"name": "fetch", "restartCount": 1, "ready": False, "lastState": {"terminated": ended}}
            ]
        return {"metadata": meta, "status": status}


@dataclass
class Cluster:
    spec: dict[str, Any]
    now: float = 1_000_000.0
    generation: int = 1
    status: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    objects: dict[ChildKey, dict[str, Any]] = field(default_factory=dict)
    pods: list[Pod] = field(default_factory=list)
    made: int = 0
    writes: int = 0

    def copy(self) -> Cluster:
        """Another cluster in the same state. Objects are never changed in place, so they are shared; pods are not."""
        return replace(self, objects=dict(self.objects), pods=[replace(pod) for pod in self.pods])

    # --- a person
    def edit(self, **spec: Any) -> None:
        if any(self.spec.get(name) != value for name, value in spec.items()):
            self.spec = {**self.spec, **spec}
            self.generation += 1

    # --- the operator
    def observe(self, *, reverse: bool = False) -> Observed:
        meta = {"name": "pavement", "namespace": "default", "uid": UID, "generation": self.generation}
        model = {"metadata": {**meta, "annotations": self.annotations}, "spec": self.spec, "status": self.status}
        children, pods = list(self.objects.items()), [pod.raw() for pod in self.pods]
        if reverse:
            children.reverse()
            pods.reverse()
        return observe(model, dict(children), pods, {})

    def plan(self) -> Plan:
        return plan(self.observe(), SETTINGS, self.now)

    def plan_reversed(self) -> Plan:
        return plan(self.observe(reverse=True), SETTINGS, self.now)

    def turn(self, *, cut: int | None = None, lose_status: bool = False, shuffle: int = 0) -> Plan:
        """Plan, then apply: children that differ (in any order), prunes, status. `cut` ends it after so many writes."""
        decided = self.plan()
        writes = self.pending(decided)
        applies = [write for write in writes if write[0] == "apply"]
        Random(shuffle).shuffle(applies)
        for write in [*applies, *writes[len(applies) :]][:cut]:
            if write[0] == "status" and lose_status:
                break
            self.write(*write)
        return decided

    def pending(self, decided: Plan) -> list[tuple[str, Any]]:
        """The writes that the plan needs, in the shell's order."""
        out: list[tuple[str, Any]] = []
        for child in decided.world:
            live = self.objects.get(ChildKey(child["kind"], child["metadata"]["name"]))
            if live is None or not _covers(live, child):
                out.append(("apply", child))
        out += [("delete", key) for key in decided.prune if key in self.objects]
        if decided.status != self.status:
            out.append(("status", decided.status))
        return out

    def write(self, verb: str, what: Any) -> None:
        self.writes += 1
        if verb == "apply":
            key = ChildKey(what["kind"], what["metadata"]["name"])
            live = {name: value for name, value in self.objects.get(key, {}).items() if name == "status"}
            self.objects[key] = {**what, **live}
        elif verb == "delete":
            del self.objects[what]
        else:
            assert verb == "status"
            self.status = dict(what)

    # --- the cluster's controllers
    def controllers(self) -> None:
        """Make and end pods as the Deployments want, and tell their status."""
        for key, child in list(self.objects.items()):
            if key.kind == "Deployment":
                revision = child["metadata"]["labels"][LABEL_REVISION]
                self._scale(revision, child["spec"]["replicas"])
                mine = [pod for pod in self.pods if pod.revision == revision and not pod.deleting]
                told = {"replicas": len(mine), "readyReplicas": sum(pod.ready for pod in mine)}
                self.objects[key] = {**child, "status": told}
        revisions = {
            child["metadata"]["labels"][LABEL_REVISION]
            for key, child in self.objects.items()
            if key.kind == "Deployment"
        }
        for pod in self.pods:  # garbage collection
            if pod.revision not in revisions:
                pod.deleting = True

    def _scale(self, revision: str, wanted: int) -> None:
        mine = sorted(
            (pod for pod in self.pods if pod.revision == revision and not pod.deleting), key=lambda pod: pod.ready
        )
        for pod in mine[: max(0, len(mine) - wanted)]:  # those that are not ready go first, as in Kubernetes
            pod.deleting = True
        for _ in range(wanted - len(mine)):
            self.made += 1
            self.pods.append(Pod(f"pod-{self.made}", revision))

    def end_pods(self) -> None:
        self.pods = [pod for pod in self.pods if not pod.deleting]

    # --- what an observer sees
    def selected(self) -> list[Pod]:
        """Ready pods that get traffic."""
        service = self.objects.get(ChildKey("Service", "pavement"))
        if service is None:
            return []
        revision = service["spec"]["selector"].get(LABEL_REVISION)
        return [pod for pod in self.pods if pod.ready and not pod.deleting and revision in (None, pod.revision)]

    def deployments(self) -> dict[str, int]:
        return {
            child["metadata"]["labels"][LABEL_REVISION]: child["spec"]["replicas"]
            for key, child in self.objects.items()
            if key.kind == "Deployment"
        }

    def ready_condition(self) -> dict[str, Any]:
        return next(condition for condition in self.status["conditions"] if condition["type"] == "Ready")


def _covers(live: Any, wanted: Any) -> bool:
    """Whether the live object has all that is wanted, as the shell compares."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(name in live and _covers(live[name], wanted[name]) for name in wanted)
    return bool(live == wanted)
