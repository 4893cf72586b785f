"""`spec` of a CrackSegModel: the pydantic models that the CRD's schema is made of and CRs are parsed with.

Field names are camelCase by alias. A field's docstring is its description in `kubectl explain`. Defaults stand
here and, through the generated schema, in the API server; the operator never fills in what the schema did not.
Cross-field rules stand beside the model they concern as CEL (`cel`), so the API server refuses bad YAML by itself.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from crackseg_operator.api.fields import IS_LABEL_KEY, SHA256, DNSName, HostName, Model, Rule, VersionText, keyed_by
from crackseg_operator.api.serving import Batching, LocalReference, Resources, Serving, Tiling, Toleration

__all__ = [
    "TLS",
    "Autoscaling",
    "AutoscalingMetric",
    "Batching",
    "Exposure",
    "Ingress",
    "LocalReference",
    "ModelSource",
    "Resources",
    "Rollout",
    "Serving",
    "Spec",
    "Tiling",
    "Toleration",
    "parse_spec",
]


class ModelSource(Model):
    """Which model is served, where its bytes are, and how they are checked."""

    uri: str = Field(max_length=1024)
    """Where the ONNX file is: s3://BUCKET/KEY, https://HOST/PATH, http://HOST/PATH, pvc://CLAIM/PATH (a PersistentVolumeClaim in the same namespace) or file:///PATH (in the serving image)."""
    version: VersionText
    """The model's version as people call it, quoted in YAML ("7.0"). A new version is a new revision and starts a rollout, even where the uri stays the same."""
    sha256: SHA256 | None = None
    """The SHA-256 digest of the file in lower-case hex. Other bytes are refused with reason DigestMismatch. Without it any bytes are taken, and the digest found is recorded in status."""
    credentials_secret_name: DNSName | None = None
    """A Secret in the same namespace whose keys become environment of the download, and of nothing else: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL_S3 for s3://; HTTP_BEARER_TOKEN, or HTTP_USERNAME and HTTP_PASSWORD, for https://."""

    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            r"self.uri.matches(r'^(s3://[^/]+/.+|https?://[^/]+/.+|pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?/.+|file:///.+)$')",
            "spec.model.uri must be s3://BUCKET/KEY, https://HOST/PATH, http://HOST/PATH, pvc://CLAIM/PATH or file:///PATH",
            ".uri",
        ),
        Rule(
            r"!self.uri.matches(r'[\x00-\x20\x7f]')",
            "spec.model.uri must have no spaces and no control characters: write a space as %20",
            ".uri",
        ),
        Rule(
            r"!self.uri.matches(r'/\.\.?(/|$)')",
            "spec.model.uri must have no '.' or '..' as part of its path: write the path out",
            ".uri",
        ),
        Rule(
            "!self.uri.matches(r'^[a-z0-9]+://[^/]*@')",
            "spec.model.uri must hold no user or password: put them into a Secret and name it in spec.model.credentialsSecretName",
            ".uri",
        ),
    )


class AutoscalingMetric(Model):
    """One figure that the number of pods follows."""

    type: Literal["CPU", "QueueDepth"]
    """CPU: use of the CPU relative to its request. QueueDepth: images waiting in each pod (needs an adapter that serves the pods' metric crackseg_queue_depth)."""
    average_utilization_percent: int | None = Field(None, ge=1, le=1000)
    """With type CPU: the target, in percent of the CPU request."""
    average_value: int | None = Field(None, ge=1, le=10000)
    """With type QueueDepth: the target number of images waiting in each pod."""

    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
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
    """The most pods, without the pods that a rollout adds for its own time."""
    metrics: list[AutoscalingMetric] = Field(
        default_factory=_cpu_target, min_length=1, max_length=4, json_schema_extra=keyed_by("type")
    )
    """What the number of pods follows. The largest proposal wins."""

    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.minReplicas <= self.maxReplicas",
            "spec.autoscaling.minReplicas must not be greater than maxReplicas: lower it or raise maxReplicas",
            ".minReplicas",
        ),
    )


class Rollout(Model):
    """How a new revision replaces the one that serves."""

    strategy: Literal["Rolling", "Recreate"] = "Rolling"
    """Rolling: a new pod is ready before an old one goes, which needs room for one more pod. Recreate: all old pods go first, and requests fail meanwhile; for clusters without room for two versions."""
    rollback: Literal["Automatic", "Disabled"] = "Automatic"
    """Automatic: a revision that fails is taken back, the old one serves on, and the failed one is not tried again until the spec names another. Disabled: it is left as it is for a person to look at, and the old one serves beside it."""
    progress_deadline_seconds: int = Field(600, ge=10, le=86400)
    """How long a revision may go without progress before it counts as never ready, in seconds. Causes that are known, such as a missing model, are acted on at once."""
    history_limit: int = Field(5, ge=0, le=50)
    """How many past revisions status.history keeps."""


_OURS = "crackseg.io/"


class Ingress(Model):
    """The Ingress in front of the service."""

    class_name: DNSName | None = None
    """The IngressClass. Absent: the cluster's default."""
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(default_factory=dict, max_length=32)
    """Annotations of the Ingress, such as those that its controller reads."""

    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"!has(self.annotations) || self.annotations.all(k, {IS_LABEL_KEY})",
            "spec.exposure.ingress.annotations must have keys such as example.org/setting: an optional DNS name and '/', then letters, digits, '-', '_' and '.'",
            ".annotations",
        ),
        Rule(
            f"!has(self.annotations) || self.annotations.all(k, !k.startsWith('{_OURS}'))",
            f"spec.exposure.ingress.annotations must not begin with {_OURS}: these are the operator's own",
            ".annotations",
        ),
    )


class TLS(Model):
    """Certificate of the host."""

    secret_name: DNSName
    """The Secret with the certificate and its key (type kubernetes.io/tls) in the same namespace."""
    cluster_issuer: DNSName | None = None
    """A cert-manager ClusterIssuer that fills the Secret and renews it."""


class Exposure(Model):
    """How the service is reached from outside the cluster. Absent: only inside it."""

    host: HostName
    """The host name that clients use, such as cracks.example.org."""
    ingress: Ingress = Field(default_factory=Ingress)
    """Details of the Ingress."""
    tls: TLS | None = None
    """Serves HTTPS with this certificate. Absent: HTTP only."""


class Spec(Model):
    """What is to be served, and how it may change."""

    model: ModelSource
    """Which model is served, where its bytes are, and how they are checked."""
    serving: Serving = Field(default_factory=Serving)
    """How the model is run. Every change here makes a new revision, which is rolled out like a new version."""
    replicas: int = Field(1, ge=0, le=1000)
    """Number of pods. `kubectl scale` writes it, and so does the autoscaler where there is one."""
    autoscaling: Autoscaling | None = None
    """Adds a HorizontalPodAutoscaler, which writes spec.replicas through the scale subresource. Absent: the number is yours."""
    rollout: Rollout = Field(default_factory=Rollout)
    """How a new revision replaces the one that serves."""
    exposure: Exposure | None = None
    """Adds an Ingress. Absent: the service is reached only inside the cluster."""

    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.autoscaling) || !self.autoscaling.metrics.exists(m, m.type == 'CPU')"
            " || (has(self.serving.resources.requests) && 'cpu' in self.serving.resources.requests)"
            " || (has(self.serving.resources.limits) && 'cpu' in self.serving.resources.limits)",
            "spec.serving.resources.requests.cpu must be set where spec.autoscaling follows CPU:"
            " the target is a percentage of this request",
            ".serving.resources.requests",
        ),
    )


def parse_spec(raw: dict[str, Any]) -> Spec:
    """The typed spec of a raw CR; raises pydantic.ValidationError where an old object does not fit today's schema."""
    return Spec.model_validate(raw)
