"""What pods, Deployments and refusals say -> one reason, and one sentence that a person can act on.

Called by `plan` for the candidate and for the stable revision. Reads what Kubernetes and the containers' own reports
state; never logs. A sentence holds nothing that changes from one retry to the next, or status would never rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from crackseg_operator.api.names import Reason
from crackseg_operator.core.containers import examine_container, out_of_memory
from crackseg_operator.core.findings import Finding, Patience, clip
from crackseg_operator.core.observed import ObservedDeployment, ObservedPod, Refusal

_FORBIDDEN_POD: Final = re.compile(r'^.*?pods "[^"]*" is forbidden: ')
_ASIDE: Final = re.compile(r"[.,]?\s*(no new claims to deallocate|preemption:).*$", re.DOTALL)
_CLAIM: Final = re.compile(r'persistentvolumeclaim "([^"]+)" not found')

#: What the scheduler lacks -> the reason and what to do. The rarest first: where a GPU lacks too, that is the cause.
_ROOM: Final = (
    ("Insufficient nvidia.com/gpu", Reason.INSUFFICIENT_GPU, "add a node with a free GPU, or lower spec.serving.gpus"),
    ("Insufficient memory", Reason.INSUFFICIENT_MEMORY, "free memory, add a node, or lower spec.serving.resources"),
    ("Insufficient cpu", Reason.INSUFFICIENT_CPU, "free CPU, add a node, or lower spec.serving.resources"),
    ("", Reason.UNSCHEDULABLE, "check spec.serving.nodeSelector and tolerations against the cluster's nodes"),
)


def diagnose(
    deployment: ObservedDeployment | None,
    pods: Sequence[ObservedPod],
    refusal: Refusal | None = None,
    *,
    on_trial: bool = False,
    engine_claim: str | None = None,
) -> Finding | None:
    """Why the pods of one revision are not all ready; None where they are, or are only on their way.

    On trial (a candidate) a pod that was killed for its memory counts even after it has become ready again. `engine_claim` is the
    one that spec.serving.engineCacheClaimName names: any other is the model's.
    """
    findings = [refused(refusal)] if refusal else []
    if deployment and deployment.replica_failure:
        findings += _not_created(deployment.replica_failure)
    for pod in pods:
        if not pod.deleting and pod.phase not in ("Succeeded", "Failed"):
            findings += _examine(pod, engine_claim, on_trial=on_trial)
    return min(findings, key=lambda finding: (finding.patience, finding.reason, finding.message), default=None)


def timeout(pods: Sequence[ObservedPod], wanted: int, seconds: int) -> Finding:
    """The time is up, and nothing says why."""
    ready = sum(pod.ready for pod in pods)
    text = f"{ready} of {wanted} pods became ready within {seconds} s"
    waiting = min((pod.name for pod in pods if not pod.ready and not pod.deleting), default=None)
    see = f": pod {waiting} does not become ready, see kubectl describe pod {waiting} and its logs" if waiting else ""
    return Finding(Patience.LONG, Reason.READINESS_TIMEOUT, clip(text + see))


def refused(refusal: Refusal) -> Finding:
    """A child could not be written."""
    try:
        reason = Reason(refusal.reason)
    except ValueError:
        reason = Reason.APPLY_REJECTED
    # A foreign object may be on its way out (a model deleted and made again); what the API server rejects stays so.
    patience = {Reason.NAME_CONFLICT: Patience.LONG, Reason.QUOTA_EXCEEDED: Patience.SHORT}.get(reason, Patience.NONE)
    return Finding(patience, reason, clip(refusal.message))


def _not_created(message: str) -> Iterator[Finding]:
    """The Deployment controller could not create a pod."""
    said = _FORBIDDEN_POD.sub("", message)
    if "exceeded quota" in said:
        text = f"No pod can be created: {said}; raise the quota, or lower spec.replicas or spec.serving.resources"
        yield Finding(Patience.SHORT, Reason.QUOTA_EXCEEDED, clip(text))
    elif "service account" not in said:  # ours is written in the same breath: it will be there
        yield Finding(Patience.SHORT, Reason.APPLY_REJECTED, clip(f"No pod can be created: {said}"))


def _examine(pod: ObservedPod, engine_claim: str | None, *, on_trial: bool) -> Iterator[Finding]:
    killed = [container for container in pod.containers if container.exit_reason == "OOMKilled"]
    if on_trial and killed:
        yield out_of_memory(killed[0], pod)
    if pod.ready:
        return
    if pod.node_lost:
        text = f"The node {pod.node} of pod {pod.name} does not answer: the pod is replaced once Kubernetes gives the node up"
        yield Finding(Patience.LONG, Reason.NODE_LOST, clip(text))
        return
    if pod.unschedulable_message:
        yield _unschedulable(pod, engine_claim)
    for container in pod.containers:
        if not container.ready and (finding := examine_container(pod, container)):
            yield finding


def _unschedulable(pod: ObservedPod, engine_claim: str | None) -> Finding:
    said = _ASIDE.sub("", pod.unschedulable_message)
    if claim := _CLAIM.search(said):
        engines = claim[1] == engine_claim
        field = "spec.serving.engineCacheClaimName" if engines else "spec.model.uri"
        text = f"PersistentVolumeClaim {claim[1]} does not exist in the namespace of pod {pod.name}; create it, or correct {field}"
        return Finding(Patience.SHORT, Reason.UNSCHEDULABLE if engines else Reason.MODEL_NOT_FOUND, clip(text))
    _, reason, remedy = next(entry for entry in _ROOM if entry[0] in said)
    text = f"No node takes pod {pod.name}: {said.rstrip('. ')}; {remedy}"
    return Finding(Patience.SHORT, reason, clip(text))
