"""What the operator and the server both have to know: names, ports, paths, exit reports.

Read by the operator when it builds pods and by the server when it starts in one. Standard library
only, so that neither side drags the other's packages in. A change here changes running pods: every
value is part of the contract between two images that may be of different age.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

# Environment of the serving container (and, where said, of the init container that fetches the model).
MODEL_PATH: Final = "MODEL_PATH"
MODEL_NAME: Final = "MODEL_NAME"
MODEL_VERSION: Final = "MODEL_VERSION"
MODEL_URI: Final = "MODEL_URI"  # init container
MODEL_SHA256: Final = "MODEL_SHA256"  # init container, and server; empty: any bytes, the digest is reported
INFERENCE_DEVICE: Final = "INFERENCE_DEVICE"  # Auto | CPU | CUDA | TensorRT
PRECISION: Final = "PRECISION"  # Exact | Auto
APP_HOST: Final = "APP_HOST"
APP_PORT: Final = "APP_PORT"
APP_GRPC_PORT: Final = "GRPC_PORT"  # the variable, beside APP_PORT; 0: no gRPC. GRPC_PORT below is its default
LOG_LEVEL: Final = "LOG_LEVEL"
BATCH_SIZE: Final = "BATCH_SIZE"  # a number, or Auto
BATCH_DELAY_MILLISECONDS: Final = "BATCH_DELAY_MILLISECONDS"
TILE_SIZE: Final = "TILE_SIZE"
TILE_OVERLAP: Final = "TILE_OVERLAP"
SKIP_EMPTY_TILES: Final = "SKIP_EMPTY_TILES"  # Disabled | Enabled
INPUT_SIZE: Final = "INPUT_SIZE"  # the whole picture at once; absent: the model's metadata decide
THRESHOLD_PERCENT: Final = "THRESHOLD_PERCENT"
MAX_WORKERS: Final = "MAX_WORKERS"
MEMORY_LIMIT: Final = "MEMORY_LIMIT"  # bytes
IMAGE_URL_HOSTS: Final = "IMAGE_URL_HOSTS"  # separated by commas; empty: no image is fetched from a URL
ENGINE_CACHE: Final = "ENGINE_CACHE"  # the folder in which engines of TensorRT are kept; absent: ENGINE_FOLDER

# Ports and paths inside the pod.
PORT: Final = 8080
PORT_NAME: Final = "http"
GRPC_PORT: Final = 9000
GRPC_PORT_NAME: Final = "grpc"
PAGE_PORT: Final = 8501  # where people look for a model's page: the Service has it, and leads to PORT
PAGE_PORT_NAME: Final = "page"
MODEL_FOLDER: Final = "/models"
MODEL_FILE: Final = "/models/model.onnx"
CLAIM_FOLDER: Final = "/claims"  # pvc://CLAIM/path is mounted at /claims/CLAIM in the init container
SCRATCH_FOLDER: Final = "/tmp"  # noqa: S108 - an emptyDir of the pod's own, the only writable folder of the server
ENGINE_FOLDER: Final = "/tmp/engines"  # noqa: S108 - in the scratch folder: as long as the pod
ENGINE_CACHE_FOLDER: Final = "/engines"  # where a claim is mounted that outlasts pods
TERMINATION_LOG: Final = "/dev/termination-log"

# Paths of the HTTP surface which the pod's probes use.
HEALTH_PATH: Final = "/health"
READY_PATH: Final = "/ready"
METRICS_PATH: Final = "/metrics"

# What tests, proxies and autoscalers may rely on.
VERSION_HEADER: Final = "X-Model-Version"  # on every answer of the serving container
QUEUE_DEPTH_METRIC: Final = "crackseg_queue_depth"  # what autoscaling on QueueDepth averages over the pods

# Commands of the image.
FETCH_COMMAND: Final = ("python", "-m", "crackseg_serving.sources")
SERVE_COMMAND: Final = ("python", "-m", "crackseg_serving")

# After SIGTERM the server answers "not ready" and closes its listener when no request has come for this long: then
# every proxy has taken the pod out of its endpoints. A busy proxy may need longer than an idle one, so requests that
# still come prolong the drain, up to the longest; in-flight requests have the rest of the grace period.
DRAIN_SECONDS: Final = 5
LONGEST_DRAIN_SECONDS: Final = 20
TERMINATION_GRACE_SECONDS: Final = 45

#: Reasons that a server or an init container may report of itself. The operator knows the same words.
REPORTED_REASONS: Final = frozenset(
    {
        "ModelNotFound",
        "ModelAccessDenied",
        "ModelDownloadFailed",
        "DigestMismatch",
        "PointerFile",
        "ContractMismatch",
        "ProviderFallback",
        "OutOfMemory",
    }
)

_MAXIMUM_MESSAGE = 2048  # the kubelet keeps 4096 bytes of a termination message


@dataclass(frozen=True, slots=True)
class Report:
    """What a container leaves behind in its termination message: a failure's reason, or the digest it verified."""

    reason: str = ""
    message: str = ""
    digest: str = ""  # "sha256:<64 hex>", set by the init container when the model is in place

    def to_json(self) -> str:
        """One line of JSON that fits a termination message."""
        fields = {"reason": self.reason, "message": self.message[:_MAXIMUM_MESSAGE], "digest": self.digest}
        return json.dumps({key: value for key, value in fields.items() if value})

    @classmethod
    def parse(cls, text: str) -> Report | None:
        """The report in a termination message, or None where the text is not one (another image, a core dump)."""
        try:
            fields = json.loads(text)
        except ValueError:
            return None
        if not isinstance(fields, dict):
            return None
        reason, digest = str(fields.get("reason", "")), str(fields.get("digest", ""))
        if reason not in REPORTED_REASONS and not digest:
            return None
        return cls(reason if reason in REPORTED_REASONS else "", str(fields.get("message", "")), digest)
