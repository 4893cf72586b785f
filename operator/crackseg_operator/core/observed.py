"""What the cluster says about one CrackSegModel, as frozen values built from plain dicts.

Built by `core.observe` from the raw objects that the store holds; read by every pure room. Knows no client and
no clock: whatever is not in the objects is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class ChildKey:
    """Names one child of a CrackSegModel inside its namespace."""

    kind: str  # "Deployment", "Service", …
    name: str


@dataclass(frozen=True, slots=True)
class ObservedModel:
    """The CrackSegModel itself: identity and what a person wrote on it."""

    name: str
    namespace: str
    uid: str
    generation: int
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    annotations: Mapping[str, str]
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """One container of a pod, init containers included."""

    name: str
    init: bool
    ready: bool
    restarts: int
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_reason: str = ""  # of the current or else the last termination: "OOMKilled", "Error", "Completed"
    exit_code: int | None = None
    termination_message: str = ""  # of the current or else the last termination
    image: str = ""


@dataclass(frozen=True, slots=True)
class ObservedPod:
    """One pod of a revision."""

    name: str
    revision: str
    phase: str
    ready: bool
    deleting: bool
    node: str = ""
    unschedulable_message: str = ""  # of PodScheduled=False, reason Unschedulable
    pod_reason: str = ""  # status.reason: "Evicted", "NodeLost", …
    pod_message: str = ""
    node_lost: bool = False  # Ready=False/Unknown because the node went away (taint or NodeStatusUnknown)
    containers: tuple[ObservedContainer, ...] = ()


@dataclass(frozen=True, slots=True)
class ObservedDeployment:
    """One Deployment of a revision."""

    name: str
    revision: str
    version: str  # of the label
    replicas_wanted: int  # spec.replicas
    replicas: int  # status.replicas
    ready_replicas: int
    settled: bool  # status.observedGeneration has reached metadata.generation
    replica_failure: str = ""  # message of condition ReplicaFailure (quota, admission)
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the API server (or a foreign owner) did not let a child be written."""

    reason: str  # NameConflict | ApplyRejected | QuotaExceeded
    message: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything known about one CrackSegModel at one moment."""

    model: ObservedModel
    deployments: tuple[ObservedDeployment, ...] = ()
    pods: tuple[ObservedPod, ...] = ()
    #: Raw live children (managedFields dropped), only those whose controller is this model's uid.
    children: Mapping[ChildKey, Mapping[str, Any]] = field(default_factory=dict)
    #: Children that the last apply could not write: why, in the API server's words. Kept by the shell until it succeeds.
    refusals: Mapping[ChildKey, Refusal] = field(default_factory=dict)
