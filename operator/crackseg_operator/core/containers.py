"""What one container says about itself: what it waits for, how it ended, what it reported.

Called by `diagnosis` for each container of each pod that is not ready.
"""

from __future__ import annotations

from typing import Final

from crackseg_operator.api.names import Reason
from crackseg_operator.core.findings import Finding, Patience, clip
from crackseg_operator.core.observed import ObservedContainer, ObservedPod
from crackseg_serving.contract import Report

#: So many restarts make a loop, and so many failed downloads a failure.
_LOOP: Final = 2

_PULLING: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_CANNOT_START: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_DENIED: Final = ("unauthorized", "denied", "401", "403", "authentication")

#: What to do, by what a container reports of itself.
_REMEDIES: Final = {
    Reason.MODEL_NOT_FOUND: "check spec.model.uri",
    Reason.MODEL_ACCESS_DENIED: "check the Secret that spec.model.credentialsSecretName names",
    Reason.MODEL_DOWNLOAD_FAILED: "check that the pods can reach the host of spec.model.uri",
    Reason.DIGEST_MISMATCH: "check spec.model.sha256 and the file at spec.model.uri",
    Reason.POINTER_FILE: "upload the model itself, not its Git LFS pointer",
    Reason.CONTRACT_MISMATCH: "check that the file is a segmentation model that this server can run",
    Reason.PROVIDER_FALLBACK: "check the node's driver and spec.serving.image, or set spec.serving.device to Auto",
    Reason.OUT_OF_MEMORY: "raise spec.serving.resources.limits.memory",
}


def examine_container(pod: ObservedPod, container: ObservedContainer) -> Finding | None:
    """The cause that shows in a container which is not ready; None where it is only on its way."""
    where = f"container {container.name} of pod {pod.name}"
    if container.waiting_reason in _PULLING:
        return _pulling(container, pod)
    report = Report.parse(container.termination_message) if container.exit_code else None
    known = container.exit_reason == "OOMKilled" or bool(report and report.reason)
    # A try that could not start hides no cause that an earlier one has shown; a Secret that is gone is a new one.
    if container.waiting_reason == "CreateContainerConfigError" or (
        container.waiting_reason in _CANNOT_START and not known
    ):
        return _cannot_start(container, where)
    if container.exit_reason == "OOMKilled":
        return out_of_memory(container, pod)
    if report and report.reason:
        return _reported(report, container, where)
    if container.restarts >= _LOOP or container.waiting_reason == "CrashLoopBackOff":
        ended = "" if container.exit_code is None else f" (exit code {container.exit_code})"
        see = f"see kubectl logs {pod.name} -c {container.name} --previous"
        return Finding(Patience.NONE, Reason.CRASH_LOOP, clip(_sentence(f"{where} ends again and again{ended}: {see}")))
    return None


def out_of_memory(container: ObservedContainer, pod: ObservedPod) -> Finding:
    """The kernel killed the container."""
    text = f"Container {container.name} of pod {pod.name} was killed for using more memory than it may"
    return Finding(Patience.NONE, Reason.OUT_OF_MEMORY, clip(f"{text}: {_REMEDIES[Reason.OUT_OF_MEMORY]}"))


def digest_of(pod: ObservedPod) -> str | None:
    """The digest of the model that the pod's init container verified."""
    for container in pod.containers:
        if container.init and container.exit_code == 0:
            report = Report.parse(container.termination_message)
            if report and report.digest:
                return report.digest
    return None


def _pulling(container: ObservedContainer, pod: ObservedPod) -> Finding:
    said = container.waiting_message.lower()
    why = ": access is denied" if any(word in said for word in _DENIED) else ""
    why = ": it does not exist" if not why and "not found" in said else why
    if container.waiting_reason == "InvalidImageName":
        why = ": the name is not valid"
    text = f"Image {container.image} of pod {pod.name} cannot be pulled{why}; check spec.serving.image and imagePullSecrets"
    # One failed pull may be a hiccup; the kubelet's first back-off says that it failed again.
    patience = Patience.LONG if container.waiting_reason == "ErrImagePull" else Patience.NONE
    return Finding(patience, Reason.IMAGE_PULL_FAILED, clip(text))


def _cannot_start(container: ObservedContainer, where: str) -> Finding:
    if "secret" in container.waiting_message.lower():
        remedy = "create it in the same namespace, or correct spec.model.credentialsSecretName"
        text = f"{where} cannot start: {container.waiting_message}; {remedy}"
        return Finding(Patience.SHORT, Reason.SECRET_MISSING, clip(_sentence(text)))
    text = f"{where} cannot be started ({container.waiting_reason}): check that spec.serving.image is a serving image"
    return Finding(Patience.SHORT, Reason.CRASH_LOOP, clip(_sentence(text)))


def _reported(report: Report, container: ObservedContainer, where: str) -> Finding:
    reason = Reason(report.reason)
    hiccup = reason is Reason.MODEL_DOWNLOAD_FAILED and container.restarts < _LOOP
    said = report.message.strip().rstrip(".") or f"{where} ended with this reason"
    text = f"{said} ({where}); {_REMEDIES[reason]}"
    return Finding(Patience.LONG if hiccup else Patience.NONE, reason, clip(text))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
