"""`spec` of a CrackSegModel: the pydantic models that the CRD's schema is made of and CRs are parsed with.

Field names are camelCase by alias. A field's docstring is its description in `kubectl explain`. Defaults stand
here and, through the generated schema, in the API server; the operator never fills in what the schema did not.
Cross-field rules stand beside the model they concern as CEL (`cel`), so the API server refuses bad YAML by itself.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Base of every schema object: camelCase in YAML, snake_case in Python, frozen, docstrings as descriptions."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, use_attribute_docstrings=True, extra="ignore"
    )
    #: CEL rules on this object: (expression, sentence that names the field and the remedy).
    cel: ClassVar[tuple[tuple[str, str], ...]] = ()


DNSLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
DNSName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]


class ModelSource(Model):
    """Which model, where its bytes are, and how they are checked."""

    uri: str = Field(min_length=8, max_length=1024)
    """Where the ONNX file is: s3://BUCKET/KEY, https://HOST/PATH, http://HOST/PATH, pvc://CLAIM/PATH or file:///PATH."""
    version: str = Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
    """The model's version as people call it; a new version is a new revision and starts a rollout."""
    sha256: str | None = Field(None, pattern=r"^[a-f0-9]{64}$")
    """The SHA-256 digest of the file in lower-case hex; other bytes are refused. Without it the digest found is recorded in status."""
    credentials_secret_name: DNSName | None = None
    """A Secret in the same namespace whose keys become environment of the download alone, such as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL_S3, HTTP_BEARER_TOKEN."""

    cel: ClassVar = (
        (
            r"self.uri.matches('^(s3://[^/]+/.+|https?://[^/]+/.+|pvc://[^/]+/.+|file:///.+)$')",
            "spec.model.uri must be s3://BUCKET/KEY, https://HOST/PATH, http://HOST/PATH, pvc://CLAIM/PATH or file:///PATH",
        ),
    )


class Batching(Model):
    """How single images are gathered into one run of the model."""

    max_size: int = Field(8, ge=1, le=256)
    """The most images in one run."""
    max_delay_milliseconds: int = Field(5, ge=0, le=1000)
    """How long an image waits for others, in milliseconds."""


class Tiling(Model):
    """How images larger than one tile are cut and put together again."""

    size_pixels: int = Field(512, ge=64, le=4096, multiple_of=32)
    """Width and height of a tile in pixels; a multiple of 32."""
    overlap_pixels: int = Field(64, ge=0, le=1024)
    """How far neighbouring tiles overlap, in pixels; at most half of sizePixels."""

    cel: ClassVar = (
        (
            "self.overlapPixels * 2 <= self.sizePixels",
            "spec.serving.tiling.overlapPixels must be at most half of sizePixels",
        ),
    )


Quantity = Annotated[int | str, Field(json_schema_extra={"x-kubernetes-int-or-string": True})]


class Resources(Model):
    """Compute resources of the serving container, as in a Pod."""

    requests: dict[str, Quantity] = Field(default_factory=dict, max_length=16)
    """What the scheduler sets aside, such as cpu: 500m, memory: 1Gi."""
    limits: dict[str, Quantity] = Field(default_factory=dict, max_length=16)
    """What the container may use at most."""


class Toleration(Model):
    """A taint that the pods tolerate, as in a Pod."""

    key: str | None = Field(None, max_length=317)
    """The taint's key; empty with operator Exists matches every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """How key and value are compared."""
    value: str | None = Field(None, max_length=63)
    """The taint's value, with operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect; absent matches all."""
    toleration_seconds: int | None = Field(None, ge=0)
    """With effect NoExecute: how long the pod stays, in seconds."""


class LocalReference(Model):
    """A name in the same namespace."""

    name: DNSName
    """The object's name."""


class Serving(Model):
    """How the model is run. Every change here makes a new revision."""

    device: Literal["Auto", "CPU", "CUDA", "TensorRT"] = "Auto"
    """Where the model runs: Auto takes a GPU where gpus is set and the CPU otherwise; CUDA and TensorRT fail rather than fall back."""
    gpus: int = Field(0, ge=0, le=16)
    """GPUs for each pod, requested as nvidia.com/gpu."""
    image: str | None = Field(None, min_length=1, max_length=512)
    """The serving image; without it the operator's own default for the device."""
    batching: Batching = Field(default_factory=Batching)
    """Gathering of images into runs."""
    tiling: Tiling = Field(default_factory=Tiling)
    """Cutting of large images."""
    threshold_percent: int | None = Field(None, ge=1, le=99)
    """A pixel is crack where the model's probability reaches this many percent; without it the model's own metadata decide, else 50."""
    resources: Resources = Field(default_factory=Resources)
    """Compute resources of each pod."""
    node_selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(default_factory=dict, max_length=32)
    """Labels that a node must have."""
    tolerations: list[Toleration] = Field(
        default_factory=list, max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
    """Taints that the pods tolerate."""
    image_pull_secrets: list[LocalReference] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    """Secrets with which the image is pulled."""

    cel: ClassVar = (
        (
            "!(self.device in ['CUDA', 'TensorRT']) || self.gpus > 0",
            "spec.serving.gpus must be at least 1 where spec.serving.device is CUDA or TensorRT",
        ),
        (
            "self.device != 'CPU' || self.gpus == 0",
            "spec.serving.gpus must be 0 where spec.serving.device is CPU",
        ),
    )


class AutoscalingMetric(Model):
    """One figure that the number of pods follows."""

    type: Literal["CPU", "QueueDepth"]
    """CPU: use relative to the request. QueueDepth: images waiting in each pod (needs a custom metrics adapter)."""
    average_utilization_percent: int | None = Field(None, ge=1, le=1000)
    """With type CPU: the target, in percent of the CPU request."""
    average_value: int | None = Field(None, ge=1, le=10000)
    """With type QueueDepth: the target number of waiting images a pod."""

    cel: ClassVar = (
        (
            "self.type == 'CPU' ? has(self.averageUtilizationPercent) && !has(self.averageValue)"
            " : has(self.averageValue) && !has(self.averageUtilizationPercent)",
            "spec.autoscaling.metrics: type CPU takes averageUtilizationPercent, type QueueDepth takes averageValue",
        ),
    )


def _cpu_target() -> list[AutoscalingMetric]:
    return [AutoscalingMetric(type="CPU", average_utilization_percent=70)]


class Autoscaling(Model):
    """A HorizontalPodAutoscaler on this resource's scale."""

    min_replicas: int = Field(1, ge=1, le=1000)
    """The fewest pods."""
    max_replicas: int = Field(ge=1, le=1000)
    """The most pods."""
    metrics: list[AutoscalingMetric] = Field(
        default_factory=_cpu_target,
        min_length=1,
        max_length=8,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """What the number of pods follows; the largest proposal wins."""

    cel: ClassVar = (
        (
            "self.minReplicas <= self.maxReplicas",
            "spec.autoscaling.minReplicas must not be greater than maxReplicas",
        ),
    )


class Rollout(Model):
    """How a new revision replaces the one that serves."""

    strategy: Literal["Rolling", "Recreate"] = "Rolling"
    """Rolling: a new pod is ready before an old one goes; needs room for one more pod. Recreate: all old pods go first; requests fail meanwhile."""
    rollback: Literal["Automatic", "Disabled"] = "Automatic"
    """Automatic: a revision that fails is taken back and quarantined. Disabled: it is left as it is, and the old one serves beside it."""
    progress_deadline_seconds: int = Field(600, ge=10, le=86400)
    """How long a revision may go without progress before it counts as never ready, in seconds; known causes are acted on at once."""
    history_limit: int = Field(5, ge=0, le=50)
    """How many past revisions status.history keeps."""


class Ingress(Model):
    """The Ingress in front of the service."""

    class_name: DNSName | None = None
    """The IngressClass; without it the cluster's default."""
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(default_factory=dict, max_length=64)
    """Annotations for the Ingress controller, passed on as they are."""


class TLS(Model):
    """Certificate of the host."""

    secret_name: DNSName
    """The Secret with the certificate (kubernetes.io/tls)."""
    cluster_issuer: DNSName | None = None
    """A cert-manager ClusterIssuer that keeps the Secret filled."""


class Exposure(Model):
    """How the service is reached from outside the cluster. Absent: only inside."""

    host: DNSName
    """The host name that clients use."""
    ingress: Ingress = Field(default_factory=Ingress)
    """Details of the Ingress."""
    tls: TLS | None = None
    """Serves HTTPS with this certificate."""


class Spec(Model):
    """What the user wants to be served, and how it may change."""

    model: ModelSource
    """The model to serve."""
    serving: Serving = Field(default_factory=Serving)
    """How the model is run."""
    replicas: int = Field(1, ge=0, le=1000)
    """Number of pods; the scale subresource. With autoscaling the autoscaler writes it."""
    autoscaling: Autoscaling | None = None
    """Adds a HorizontalPodAutoscaler that writes spec.replicas through the scale subresource."""
    rollout: Rollout = Field(default_factory=Rollout)
    """How a new revision replaces the old one."""
    exposure: Exposure | None = None
    """Adds an Ingress."""


def parse_spec(raw: dict[str, Any]) -> Spec:
    """The typed spec of a raw CR; raises pydantic.ValidationError where an old object does not fit today's schema."""
    return Spec.model_validate(raw)
