"""Raw objects as a real cluster shows them (Kubernetes 1.34, containerd), cut to what anybody reads."""

from __future__ import annotations

import json
from typing import Any

from crackseg_operator.api.names import API_VERSION, KIND, LABEL_INSTANCE, LABEL_REVISION

Raw = dict[str, Any]

UID = "0f5c2a9e-7f0b-4c6a-9a51-3f0f6f0f7a11"


def raw_model(version: str = "1", **more: Any) -> Raw:
    """A CrackSegModel; `more` goes into spec, but for status, annotations and generation."""
    meta = {"name": "pavement", "namespace": "roads", "uid": UID, "generation": more.pop("generation", 1)}
    meta["annotations"] = more.pop("annotations", {})
    status = more.pop("status", {})
    spec = {"model": {"uri": f"s3://models/{version}.onnx", "version": version}, **more}
    return {"metadata": meta, "spec": spec, "status": status}


def owned(kind: str, name: str, **parts: Any) -> Raw:
    """A child of the model."""
    owner = {"apiVersion": API_VERSION, "kind": KIND, "name": "pavement", "uid": UID, "controller": True}
    meta = {"name": name, "namespace": "roads", "ownerReferences": [owner], **parts.pop("metadata", {})}
    return {"kind": kind, "metadata": meta, **parts}


def raw_pod(revision: str = "aaaaaaaaaa", name: str = "pavement-aaaaaaaaaa-x", **status: Any) -> Raw:
    """A pod that is scheduled and has not started, unless `status` says more."""
    conditions = status.pop("conditions", None) or [ready(holds=False), containers_ready(holds=False)]
    meta: Raw = {"name": name, "namespace": "roads", "labels": {LABEL_INSTANCE: "pavement", LABEL_REVISION: revision}}
    if status.pop("deleting", False):
        meta["deletionTimestamp"] = "2026-01-01T12:00:00Z"
    return {
        "metadata": meta,
        "spec": {"nodeName": status.pop("node", "node-1")},
        "status": {"phase": "Pending", "conditions": conditions, **status},
    }


def ready(*, holds: bool, reason: str = "") -> Raw:
    return {"type": "Ready", "status": str(holds)} | ({"reason": reason} if reason else {})


def containers_ready(*, holds: bool) -> Raw:
    return {"type": "ContainersReady", "status": str(holds)}


def unschedulable(message: str) -> Raw:
    return {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}


def fetch(restarts: int = 0, **state: Any) -> Raw:
    return {"name": "fetch", "image": "serving:1", "ready": False, "restartCount": restarts, **state}


def serving(restarts: int = 0, **state: Any) -> Raw:
    return {"name": "serving", "image": "serving:1", "ready": False, "restartCount": restarts, **state}


def waiting(reason: str, message: str = "") -> Raw:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, reason: str = "Error", message: str = "") -> Raw:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def reported(reason: str, message: str = "It is so") -> Raw:
    return ended(1, message=json.dumps({"reason": reason, "message": message}))


INITIALIZING = serving(state=waiting("PodInitializing"))
