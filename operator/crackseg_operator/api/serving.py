"""`spec.serving` of a CrackSegModel: how the model is run. Every field here is part of what names a revision.

Imported by `spec` and `status`. See `spec` for how descriptions, defaults and rules reach the API server.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from crackseg_operator.api.fields import (
    ATOMIC,
    IS_LABEL_KEY,
    DNSName,
    ImageReference,
    LabelKey,
    LabelValue,
    Model,
    Quantity,
    Rule,
    SourceHost,
    keyed_by,
)

BatchSize = Annotated[
    Annotated[int, Field(ge=1, le=256)] | Literal["Auto"],
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}),
]
"""A number, or Auto."""


class Batching(Model):
    """How images that arrive together are gathered into one run of the model."""

    max_size: BatchSize = 8
    """The most images (or tiles) in one run. Auto: what the server finds to pay when it times runs at its start, and the delay that goes with it. A model whose ONNX file fixes its batch size is run with that size."""
    max_delay_milliseconds: int = Field(5, ge=0, le=1000)
    """How long an image waits for others to join its run, in milliseconds. 0 runs at once what is there. On a CPU nothing waits, and with maxSize Auto the server finds the delay itself."""

    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "type(self.maxSize) == int ? self.maxSize >= 1 && self.maxSize <= 256 : self.maxSize == 'Auto'",
            "spec.serving.batching.maxSize must be a whole number from 1 to 256, or Auto",
            ".maxSize",
        ),
    )


class Tiling(Model):
    """How images larger than one tile are cut and put together again."""

    size_pixels: int = Field(512, ge=64, le=4096, multiple_of=32)
    """Width and height of a tile in pixels, a multiple of 32. A model whose ONNX file fixes its input size decides instead."""
    overlap_pixels: int = Field(64, ge=0, le=1024)
    """How far neighbouring tiles overlap, in pixels, at most half of sizePixels. The overlap is blended, so that no seam shows."""
    skip_empty_tiles: Literal["Disabled", "Enabled"] = "Disabled"
    """Enabled: tiles in which a cheap first look finds no dark line are not run through the model. Quicker where tiles are small beside the sound ground between cracks; Disabled runs every tile."""

    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.overlapPixels * 2 <= self.sizePixels",
            "spec.serving.tiling.overlapPixels must be at most half of sizePixels: make the overlap smaller or the tiles larger",
            ".overlapPixels",
        ),
    )


class ImageURL(Model):
    """From where the server fetches an image itself, when a client names its URL instead of sending it."""

    allowed_hosts: Annotated[list[SourceHost], AfterValidator(sorted)] = Field(
        default_factory=list, max_length=64, json_schema_extra={"x-kubernetes-list-type": "set"}
    )
    """Hosts that images are fetched from, such as photos.example.org, *.example.org (every name one label below) or photos.example.org:8443 (a port that is not the scheme's own). Their addresses must be public ones. Empty: requests with a URL are refused."""


#: CEL: the tiling is what the API server fills in where nobody wrote one.
_USUAL_TILES = " && ".join(
    f"self.tiling.{name} == {usual!r}" for name, usual in Tiling().model_dump(by_alias=True).items()
)


def _quantities(field: str) -> Rule:
    return Rule(
        f"!has(self.{field}) || self.{field}.all(k, isQuantity(string(self.{field}[k])) && !quantity(string(self.{field}[k])).isLessThan(quantity('0')))",
        f"spec.serving.resources.{field} must hold quantities that are not negative, such as cpu: 500m and memory: 1Gi",
        f".{field}",
    )


_NO_GPU_IN = "(!has(self.{0}) || !('nvidia.com/gpu' in self.{0}))"


class Resources(Model):
    """Compute resources of the serving container, as in a Pod."""

    requests: dict[str, Quantity] = Field(default_factory=dict, max_length=6)
    """What the scheduler sets aside for each pod, such as cpu: 500m and memory: 1Gi. For what is named neither here nor in limits: cpu 250m and memory 256Mi. An autoscaler's CPU percentage is relative to the CPU request."""
    limits: dict[str, Quantity] = Field(default_factory=dict, max_length=6)
    """What each pod may use at most. The server sizes its thread pools by the CPU limit, and is killed (reason OutOfMemory) above the memory limit."""

    cel: ClassVar[tuple[Rule, ...]] = (
        _quantities("requests"),
        _quantities("limits"),
        Rule(
            "!has(self.requests) || !has(self.limits) || ['cpu', 'memory'].all(k, !(k in self.requests) || !(k in self.limits)"
            " || !isQuantity(string(self.requests[k])) || !isQuantity(string(self.limits[k]))"
            " || !quantity(string(self.requests[k])).isGreaterThan(quantity(string(self.limits[k]))))",
            "spec.serving.resources.requests must not be greater than spec.serving.resources.limits: lower the request or raise the limit",
            ".requests",
        ),
        *(
            Rule(
                f"!has(self.{field}) || self.{field}.all(k, k in ['cpu', 'memory', 'ephemeral-storage'] || k.contains('/')"
                " || k.startsWith('hugepages-'))",
                f"spec.serving.resources.{field} must name cpu, memory, ephemeral-storage or an extended resource such as example.org/device",
                f".{field}",
            )
            for field in ("requests", "limits")
        ),
        Rule(
            f"{_NO_GPU_IN.format('requests')} && {_NO_GPU_IN.format('limits')}",
            "spec.serving.resources must not name nvidia.com/gpu: set spec.serving.gpus instead",
        ),
    )


class Toleration(Model):
    """A taint that the pods tolerate, as in a Pod."""

    key: LabelKey | None = None
    """The taint's key. Absent, with operator Exists: every taint."""
    operator: Literal["Exists", "Equal"] = "Equal"
    """Equal compares the value, Exists takes any value."""
    value: LabelValue | None = None
    """The taint's value, with operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The taint's effect. Absent: all effects."""
    toleration_seconds: int | None = Field(None, ge=0, json_schema_extra={"format": "int64"})
    """With effect NoExecute: how long the pod stays on a tainted node, in seconds. Absent: for ever."""

    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.operator == 'Exists' || (has(self.key) && self.key != '')",
            "spec.serving.tolerations: key is needed with operator Equal; to tolerate every taint set operator: Exists",
            ".operator",
        ),
        Rule(
            "self.operator == 'Equal' || !has(self.value) || self.value == ''",
            "spec.serving.tolerations: value must be absent with operator Exists",
            ".operator",
        ),
        Rule(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "spec.serving.tolerations: tolerationSeconds needs effect: NoExecute",
            ".tolerationSeconds",
        ),
    )


class LocalReference(Model):
    """The name of an object in the same namespace."""

    name: DNSName
    """The object's name."""


class Serving(Model):
    """How the model is run. Every change here makes a new revision, which is rolled out like a new version."""

    device: Literal["Auto", "CPU", "CUDA", "TensorRT"] = "Auto"
    """Where the model runs. Auto takes a GPU where gpus is set and the CPU otherwise. CUDA and TensorRT need gpus, and fail (reason ProviderFallback) rather than run on the CPU unseen."""
    gpus: int = Field(0, ge=0, le=16)
    """GPUs for each pod, requested as nvidia.com/gpu."""
    precision: Literal["Exact", "Auto"] = "Exact"
    """What the model is computed in. Exact: what its file says, so that every pod gives the same masks. Auto: the fastest that the pod's node offers without changing the masks. At its start the server tries the file's INT8 variant (on a CPU) or FP16 variant (on a GPU), and bfloat16 where image and processor have it; one is taken if at least 0.98 of its masks of the photographs that the file brings agree with the file's own, and if it is 1.1 times as fast. Pods on different nodes may then give slightly different masks. A file that brings no photographs is computed as it says."""
    image: ImageReference | None = None
    """The serving image. Absent: the operator's own default for the device."""
    batching: Batching = Field(default_factory=Batching)
    """How images that arrive together are gathered into one run of the model."""
    tiling: Tiling = Field(default_factory=Tiling)
    """How images larger than one tile are cut and put together again."""
    input_size_pixels: int | None = Field(None, ge=8, le=4096)
    """The whole picture is scaled to a square of this many pixels and run once, instead of being cut into tiles: for models that were trained so. A multiple of what the model asks for. Absent: what the model's own metadata say (crackseg.input.size), else tiles."""
    threshold_percent: int | None = Field(None, ge=1, le=99)
    """A pixel counts as crack where the model's probability reaches this many percent. Absent: what the model's own metadata say, else 50."""
    image_url: ImageURL | None = Field(None, alias="imageURL")
    """From where the server fetches an image itself, when a client names its URL instead of sending it. Absent: from nowhere."""
    engine_cache_claim_name: DNSName | None = None
    """A PersistentVolumeClaim in the same namespace, which the pods may write to: with device TensorRT the engines that a pod has built are kept there for the next one. One on the node's own disk is quickest; pods on several nodes need one that all may write. Absent: every pod builds its own, which takes minutes."""
    resources: Resources = Field(default_factory=Resources)
    """Compute resources of each pod."""
    node_selector: dict[str, LabelValue] = Field(default_factory=dict, max_length=16)
    """Labels that a node must have to run the pods."""
    tolerations: list[Toleration] = Field(default_factory=list, max_length=16, json_schema_extra=ATOMIC)
    """Taints that the pods tolerate."""
    image_pull_secrets: list[LocalReference] = Field(
        default_factory=list, max_length=8, json_schema_extra=keyed_by("name")
    )
    """Secrets in the same namespace with which the image is pulled."""

    cel: ClassVar[tuple[Rule, ...]] = (
        Rule(
            f"!has(self.nodeSelector) || self.nodeSelector.all(k, {IS_LABEL_KEY})",
            "spec.serving.nodeSelector must have label keys such as topology.kubernetes.io/zone",
            ".nodeSelector",
        ),
        Rule(
            f"!has(self.inputSizePixels) || ({_USUAL_TILES})",
            "spec.serving.tiling must be left out where spec.serving.inputSizePixels is set: the whole picture is run at once, and no tiles are cut",
            ".tiling",
        ),
        Rule(
            "!(self.device in ['CUDA', 'TensorRT']) || self.gpus > 0",
            "spec.serving.gpus must be at least 1 where spec.serving.device is CUDA or TensorRT",
            ".gpus",
        ),
        Rule(
            "!has(self.engineCacheClaimName) || self.device == 'TensorRT'",
            "spec.serving.engineCacheClaimName must be left out where spec.serving.device is not TensorRT: nothing else builds engines",
            ".engineCacheClaimName",
        ),
        Rule(
            "self.device != 'CPU' || self.gpus == 0",
            "spec.serving.gpus must be 0 where spec.serving.device is CPU: remove gpus, or set device to Auto or CUDA",
            ".gpus",
        ),
    )
