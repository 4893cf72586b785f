"""Raw objects -> Observed.

Called by `shell.reconcile` before every plan. Takes the store's plain dicts as the API server sent them and picks
the few fields that decisions need. Knows no client and no clock; never raises for a field that is absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from crackseg_operator.api.names import LABEL_INSTANCE, LABEL_REVISION, LABEL_VERSION
from crackseg_operator.core.observed import (
    ChildKey,
    Observed,
    ObservedContainer,
    ObservedDeployment,
    ObservedModel,
    ObservedPod,
    Refusal,
)

Raw = Mapping[str, Any]

# Taken from the node lifecycle controller, the kubelet's shutdown manager and the pod garbage collector.
_NODE_REASONS = frozenset({"NodeLost", "NodeShutdown", "Shutdown", "Terminated", "NodeStatusUnknown", "NodeAffinity"})
# Ends that the kubelet or the runtime make up: the program did not run, or nobody saw how it ended.
_NOT_ITS_OWN = frozenset({"ContainerStatusUnknown", "ContainerCannotRun", "StartError"})
_NODE_DISRUPTIONS = frozenset({"DeletionByTaintManager", "DeletionByPodGC", "TerminationByKubelet"})


def observe(
    model: Raw,
    children: Mapping[ChildKey, Raw],
    pods: Iterable[Raw],
    refusals: Mapping[ChildKey, Refusal] | None = None,
) -> Observed:
    """Everything known about one model.

    Children that another uid controls are left out. Pods are taken by label, whoever owns them: their ReplicaSets are
    not watched. The order of either does not matter.
    """
    subject = _model(model)
    own = {key: child for key, child in children.items() if _controller_uid(child) == subject.uid}
    return Observed(
        model=subject,
        deployments=tuple(
            sorted(
                (_deployment(child, subject) for key, child in own.items() if key.kind == "Deployment"),
                key=lambda deployment: deployment.name,
            )
        ),
        pods=tuple(sorted((_pod(pod) for pod in pods if _belongs(pod, subject)), key=lambda pod: pod.name)),
        children=own,
        refusals=refusals or {},
    )


def _controller_uid(child: Raw) -> str:
    references = child["metadata"].get("ownerReferences") or ()
    return next((str(reference.get("uid", "")) for reference in references if reference.get("controller")), "")


def _belongs(pod: Raw, model: ObservedModel) -> bool:
    meta = pod["metadata"]
    here: bool = meta.get("namespace", model.namespace) == model.namespace
    return here and (meta.get("labels") or {}).get(LABEL_INSTANCE) == model.name


def _model(raw: Raw) -> ObservedModel:
    meta = raw["metadata"]
    return ObservedModel(
        name=meta["name"],
        namespace=meta.get("namespace", ""),
        uid=meta.get("uid", ""),
        generation=meta.get("generation", 0),
        spec=raw.get("spec") or {},
        status=raw.get("status") or {},
        annotations=meta.get("annotations") or {},
        deleting="deletionTimestamp" in meta,
    )


def _deployment(raw: Raw, model: ObservedModel) -> ObservedDeployment:
    meta, spec, status = raw["metadata"], raw.get("spec") or {}, raw.get("status") or {}
    labels = meta.get("labels") or {}
    failure = _condition(status, "ReplicaFailure")
    return ObservedDeployment(
        name=meta["name"],
        revision=_revision(meta["name"], labels, model),
        version=labels.get(LABEL_VERSION, ""),
        replicas_wanted=spec.get("replicas", 1),
        replicas=status.get("replicas", 0),
        ready_replicas=status.get("readyReplicas", 0),
        settled=status.get("observedGeneration", 0) >= meta.get("generation", 0),
        replica_failure=str(failure.get("message", "")) if failure.get("status") == "True" else "",
        deleting="deletionTimestamp" in meta,
    )


def _revision(name: str, labels: Mapping[str, str], model: ObservedModel) -> str:
    """By name, which nobody can change; a label can."""
    prefix = f"{model.name}-"
    return name.removeprefix(prefix) if name.startswith(prefix) else labels.get(LABEL_REVISION, name)


def _pod(raw: Raw) -> ObservedPod:
    meta, status = raw["metadata"], raw.get("status") or {}
    scheduled = _condition(status, "PodScheduled")
    unschedulable = scheduled.get("status") == "False" and scheduled.get("reason") != "SchedulingGated"
    return ObservedPod(
        name=meta["name"],
        revision=(meta.get("labels") or {}).get(LABEL_REVISION, ""),
        phase=status.get("phase", "Pending"),
        ready=_condition(status, "Ready").get("status") == "True",
        deleting="deletionTimestamp" in meta,
        node=(raw.get("spec") or {}).get("nodeName") or "",
        unschedulable_message=str(scheduled.get("message", "")) if unschedulable else "",
        pod_reason=status.get("reason") or "",
        pod_message=status.get("message") or "",
        node_lost=_node_lost(status),
        containers=tuple(_containers(status)),
    )


def _node_lost(status: Raw) -> bool:
    """Whether the pod is unready because its node is, not because of what runs in it.

    The node lifecycle controller turns the pod's Ready to False and leaves the rest as the kubelet last wrote it: so
    Ready is False while ContainersReady is still True, which no kubelet writes (but for readiness gates).
    """
    ready = _condition(status, "Ready")
    unready = ready.get("status") in ("False", "Unknown")
    return (
        status.get("reason") in _NODE_REASONS
        or ready.get("reason") in _NODE_REASONS
        or _condition(status, "DisruptionTarget").get("reason") in _NODE_DISRUPTIONS
        or (
            unready
            and ready.get("reason") != "ReadinessGatesNotReady"
            and _condition(status, "ContainersReady").get("status") == "True"
        )
    )


def _containers(status: Raw) -> Iterator[ObservedContainer]:
    for field, init in (("initContainerStatuses", True), ("containerStatuses", False)):
        for raw in status.get(field) or ():
            waiting = (raw.get("state") or {}).get("waiting") or {}
            ended = _termination(raw)
            yield ObservedContainer(
                name=raw.get("name", ""),
                init=init,
                ready=bool(raw.get("ready")),
                restarts=raw.get("restartCount", 0),
                waiting_reason=waiting.get("reason") or "",
                waiting_message=waiting.get("message") or "",
                exit_reason=ended.get("reason") or "",
                exit_code=ended.get("exitCode"),
                termination_message=ended.get("message") or "",
                image=raw.get("image") or "",
            )


def _termination(raw: Raw) -> Raw:
    """The current termination, or else the last; one that the program had no part in only where there is no other."""
    ends: list[Raw] = [ended for field in ("state", "lastState") if (ended := (raw.get(field) or {}).get("terminated"))]
    own = (ended for ended in ends if ended.get("reason") not in _NOT_ITS_OWN)
    return next(own, ends[0] if ends else {})


def _condition(status: Raw, kind: str) -> Raw:
    return next((entry for entry in status.get("conditions") or () if entry.get("type") == kind), {})
