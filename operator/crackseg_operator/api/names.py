"""The vocabulary: every label, annotation, condition, reason and metric name, each word once.

Imported by every room of the operator; imports nothing but the standard library. A word that appears
in YAML, in `kubectl get`, in a metric or in an alert is spelled here and nowhere else.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

GROUP: Final = "crackseg.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "CrackSegModel"
PLURAL: Final = "cracksegmodels"
SINGULAR: Final = "cracksegmodel"
SHORT_NAME: Final = "csm"
CATEGORY: Final = "crackseg"

FIELD_MANAGER: Final = "crackseg-operator"

# Labels on children. The first two select the pods of one CrackSegModel, all revisions.
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_REVISION: Final = f"{GROUP}/revision"
LABEL_VERSION: Final = f"{GROUP}/model-version"
MANAGED_BY: Final = "crackseg-operator"
APP_NAME: Final = "crackseg-serving"

#: On every child: a hash of the fields we sent, so that a field we stop sending is noticed and removed.
ANNOTATION_APPLIED: Final = f"{GROUP}/applied"
#: On a revision's Deployment: what it was made of, so that it can be built again after the spec has moved on.
ANNOTATION_SOURCE: Final = f"{GROUP}/source"
#: On a CrackSegModel: a person's wish to try a quarantined revision again; any new value counts once.
ANNOTATION_RETRY: Final = f"{GROUP}/retry"


class Condition(StrEnum):
    """Types of `status.conditions`. The first three are kstatus'."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    MODEL_VERIFIED = "ModelVerified"
    AVAILABLE = "Available"
    ROLLED_BACK = "RolledBack"


class Reason(StrEnum):
    """Why a CrackSegModel is as it is: one list for conditions, Events, metrics, alerts and the plugin."""

    # progress
    PENDING = "Pending"
    STARTING = "Starting"
    SHIFTING = "Shifting"
    SERVING = "Serving"
    VERIFIED = "Verified"
    PROMOTED = "Promoted"
    ROLLED_BACK = "RolledBack"
    ABORTED = "Aborted"
    # the cluster has no room
    INSUFFICIENT_CPU = "InsufficientCPU"
    INSUFFICIENT_MEMORY = "InsufficientMemory"
    INSUFFICIENT_GPU = "InsufficientGPU"
    UNSCHEDULABLE = "Unschedulable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    NODE_LOST = "NodeLost"
    # the image, the model
    IMAGE_PULL_FAILED = "ImagePullFailed"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_ACCESS_DENIED = "ModelAccessDenied"
    MODEL_DOWNLOAD_FAILED = "ModelDownloadFailed"
    DIGEST_MISMATCH = "DigestMismatch"
    POINTER_FILE = "PointerFile"
    CONTRACT_MISMATCH = "ContractMismatch"
    PROVIDER_FALLBACK = "ProviderFallback"
    # the process
    OUT_OF_MEMORY = "OutOfMemory"
    CRASH_LOOP = "CrashLoop"
    READINESS_TIMEOUT = "ReadinessTimeout"
    # what stands in the way
    NAME_CONFLICT = "NameConflict"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - a reason, no secret
    APPLY_REJECTED = "ApplyRejected"
    INVALID_SPEC = "InvalidSpec"


class Phase(StrEnum):
    """`status.rollout.phase`: where a rollout stands. Absent where none is under way."""

    STARTING = "Starting"
    SHIFTING = "Shifting"


class Metric(StrEnum):
    """Names of the operator's Prometheus metrics."""

    RECONCILES = "crackseg_operator_reconciles_total"
    RECONCILE_SECONDS = "crackseg_operator_reconcile_duration_seconds"
    QUEUE_DEPTH = "crackseg_operator_queue_depth"
    QUEUE_AGE = "crackseg_operator_queue_age_seconds"
    WRITES = "crackseg_operator_writes_total"
    ROLLOUTS = "crackseg_operator_rollouts_total"
    LEADER = "crackseg_operator_leader"
    MODELS = "crackseg_operator_models"
