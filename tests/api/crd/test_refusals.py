"""Bad YAML is refused by the API server itself, with a sentence that names the field and the remedy.

The table's rows: what a person wrote (merged over the smallest spec), and what they read.
"""

from __future__ import annotations

from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.api

MODEL = "uri: 's3://models/pavement.onnx', version: '7'"


def row(written: str, read: str, name: str) -> Any:
    return pytest.param(yaml.safe_load(written), read, id=name)


REFUSED = [
    row("model: {version: '7'}", "spec.model.uri: Required value", "no uri"),
    row("model: {uri: 's3://models/pavement.onnx'}", "spec.model.version: Required value", "no version"),
    row(
        "model: {uri: 'ftp://host/model.onnx', version: '7'}",
        "spec.model.uri must be s3://BUCKET/KEY, https://HOST/PATH, http://HOST/PATH, pvc://CLAIM/PATH or file:///PATH",
        "a scheme that nobody fetches",
    ),
    row("model: {uri: 's3://bucket-alone', version: '7'}", "spec.model.uri must be s3://BUCKET/KEY", "no key"),
    row("model: {uri: 'file://relative.onnx', version: '7'}", "or file:///PATH", "a relative file"),
    row("model: {uri: 'pvc://Claim_A/m.onnx', version: '7'}", "pvc://CLAIM/PATH", "a claim that cannot exist"),
    row("model: {uri: 's3://models/../secrets', version: '7'}", "no '.' or '..'", "a path that climbs"),
    row("model: {uri: 'file:///models/./m.onnx', version: '7'}", "no '.' or '..'", "a path that stays"),
    row("model: {uri: 's3://models/my model', version: '7'}", "write a space as %20", "a space in the uri"),
    row('model: {uri: "s3://models/a\\nb", version: "7"}', "no control characters", "a line break in the uri"),
    row("model: {uri: 'https://me:secret@host/m', version: '7'}", "spec.model.credentialsSecretName", "a password"),
    row(f"model: {{uri: 's3://m/{'x' * 1024}', version: '7'}}", "spec.model.uri: Too long", "an endless uri"),
    row(
        "model: {uri: 's3://models/m', version: 7.0}",
        'spec.model.version: Invalid value: "number": spec.model.version in body must be of type string',
        "a version that YAML took for a number",
    ),
    row("model: {uri: 's3://models/m', version: ''}", "spec.model.version must be letters, digits", "no version text"),
    row("model: {uri: 's3://models/m', version: 'v 7'}", 'such as "7.0.0"', "a version with a space"),
    row("model: {uri: 's3://models/m', version: '-7'}", "starting and ending with a letter or digit", "a dash first"),
    row(
        f"model: {{{MODEL}, sha256: sha256:abc}}",
        "spec.model.sha256 must be the 64 lower-case hex digits that sha256sum prints",
        "a digest with a prefix",
    ),
    row(f"model: {{{MODEL}, credentialsSecretName: My_Secret}}", "must be a name of lower-case", "a name in capitals"),
    row("modle: {}", 'unknown field "spec.modle"', "a field that does not exist"),
    row("serving: {device: cuda}", 'supported values: "Auto", "CPU", "CUDA", "TensorRT"', "a device in lower case"),
    row("serving: {device: CUDA}", "spec.serving.gpus must be at least 1", "CUDA without a GPU"),
    row("serving: {device: TensorRT, gpus: 0}", "spec.serving.gpus must be at least 1", "TensorRT without a GPU"),
    row(
        "serving: {device: CUDA, gpus: 1, engineCacheClaimName: engines}",
        "spec.serving.engineCacheClaimName must be left out where spec.serving.device is not TensorRT",
        "kept engines without TensorRT",
    ),
    row("serving: {device: CPU, gpus: 1}", "remove gpus, or set device to Auto or CUDA", "the CPU with a GPU"),
    row("serving: {precision: INT8}", 'supported values: "Exact", "Auto"', "a precision by name"),
    row("serving: {gpus: 17}", "spec.serving.gpus in body should be less than or equal to 16", "too many GPUs"),
    row("serving: {image: 'Not An Image'}", "spec.serving.image must be an image reference such as", "no image"),
    row("serving: {batching: {maxSize: 0}}", "maxSize must be a whole number from 1 to 256, or Auto", "no batch"),
    row("serving: {batching: {maxSize: 257}}", "must be a whole number from 1 to 256, or Auto", "too large a batch"),
    row("serving: {batching: {maxSize: auto}}", "must be a whole number from 1 to 256, or Auto", "a batch in words"),
    row(
        "serving: {inputSizePixels: 4}", "spec.serving.inputSizePixels in body should be greater", "too small an input"
    ),
    row(
        "serving: {inputSizePixels: 256, tiling: {sizePixels: 1024}}",
        "spec.serving.tiling must be left out where spec.serving.inputSizePixels is set",
        "tiles of a picture that is run whole",
    ),
    row(
        "serving: {tiling: {sizePixels: 500}}",
        "spec.serving.tiling.sizePixels in body should be a multiple of 32",
        "an odd tile",
    ),
    row(
        "serving: {tiling: {sizePixels: 128, overlapPixels: 65}}",
        "make the overlap smaller or the tiles larger",
        "tiles that overlap by more than half",
    ),
    row(
        "serving: {imageURL: {allowedHosts: ['https://photos.example.org']}}",
        "must be a DNS name in lower case such as photos.example.org",
        "a source of images with a scheme",
    ),
    row("serving: {imageURL: {allowedHosts: ['10.0.0.1']}}", "must be a DNS name", "a source that is an address"),
    row("serving: {imageURL: {allowedHosts: [a.org, a.org]}}", "Duplicate value", "the same source twice"),
    row("serving: {thresholdPercent: 0}", "spec.serving.thresholdPercent in body should be greater", "all is crack"),
    row("serving: {resources: {requests: {cpu: lots}}}", "such as cpu: 500m and memory: 1Gi", "no quantity"),
    row("serving: {resources: {limits: {memory: -1Gi}}}", "that are not negative", "a negative quantity"),
    row(
        "serving: {resources: {requests: {cpu: 2}, limits: {cpu: 500m}}}",
        "must not be greater than spec.serving.resources.limits: lower the request or raise the limit",
        "a request above its limit",
    ),
    row(
        "serving: {resources: {limits: {nvidia.com/gpu: 1}}}", "set spec.serving.gpus instead", "a GPU by the back door"
    ),
    row(
        "serving: {nodeSelector: {disk: 'very fast'}}",
        "spec.serving.nodeSelector.* must be a label's value",
        "no label",
    ),
    row("serving: {tolerations: [{value: x}]}", "key is needed with operator Equal", "a toleration without key"),
    row("serving: {tolerations: [{operator: Exists, value: x}]}", "value must be absent", "a value that is not read"),
    row(
        "serving: {tolerations: [{key: a, tolerationSeconds: 9}]}", "needs effect: NoExecute", "seconds without effect"
    ),
    row("serving: {imagePullSecrets: [{name: A}]}", "imagePullSecrets[0].name", "a Secret's name in capitals"),
    row("serving: {imagePullSecrets: [{name: a}, {name: a}]}", "Duplicate value", "the same Secret twice"),
    row(
        "serving: {nodeSelector: {'very fast': x}}",
        "such as topology.kubernetes.io/zone",
        "a selector's key with a space",
    ),
    row(
        "serving: {tolerations: [{key: 'a b', operator: Exists}]}",
        "must be a label's key such as",
        "a taint's key with a space",
    ),
    row(
        "serving: {resources: {requests: {cpuu: 1}}}",
        "must name cpu, memory, ephemeral-storage or",
        "a resource misspelt",
    ),
    row(
        "exposure: {host: a.b, ingress: {annotations: {'a b': c}}}",
        "such as example.org/setting",
        "an annotation's key with a space",
    ),
    row("replicas: -1", "spec.replicas in body should be greater than or equal to 0", "fewer than no pods"),
    row(
        "autoscaling: {maxReplicas: 3}",
        "spec.serving.resources.requests.cpu must be set where spec.autoscaling follows CPU",
        "autoscaling by CPU without a CPU request",
    ),
    row("autoscaling: {minReplicas: 1}", "spec.autoscaling.maxReplicas: Required value", "no upper bound"),
    row(
        "autoscaling: {minReplicas: 4, maxReplicas: 3, metrics: [{type: QueueDepth, averageValue: 8}]}",
        "spec.autoscaling.minReplicas must not be greater than maxReplicas",
        "bounds the wrong way round",
    ),
    row(
        "autoscaling: {maxReplicas: 3, metrics: [{type: QueueDepth, averageUtilizationPercent: 8}]}",
        "type QueueDepth takes averageValue",
        "the wrong target for a metric",
    ),
    row("autoscaling: {maxReplicas: 3, metrics: []}", "should have at least 1 items", "no metric"),
    row("rollout: {strategy: rolling}", 'supported values: "Rolling", "Recreate"', "a strategy in lower case"),
    row("rollout: {rollback: false}", "spec.rollout.rollback in body must be of type string", "yes or no for a word"),
    row("rollout: {progressDeadlineSeconds: 1}", "spec.rollout.progressDeadlineSeconds", "a deadline too near"),
    row("exposure: {host: 'https://cracks.example.org'}", "without scheme or port, such as cracks", "a URL for a host"),
    row("exposure: {host: 'cracks.example.org:8080'}", "without scheme or port", "a port in the host"),
    row("exposure: {}", "spec.exposure.host: Required value", "no host"),
    row("exposure: {host: a.b, tls: {}}", "spec.exposure.tls.secretName: Required value", "no certificate"),
    row(
        "exposure: {host: a.b, ingress: {annotations: {crackseg.io/applied: x}}}",
        "these are the operator's own",
        "an annotation of ours",
    ),
]


@pytest.mark.parametrize(("written", "read"), REFUSED)
def test_refused(client, written: dict[str, Any], read: str):
    minimal = {"model": {"uri": "s3://models/pavement.onnx", "version": "7"}}
    assert read in _refusal(client, minimal | written)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        pytest.param("a" * 53, "metadata.name must have at most 52 characters", id="a name too long for its children"),
        pytest.param("7-pavement", "metadata.name must start with a lower-case letter", id="a digit first"),
        pytest.param("road.pavement", "hold only lower-case letters, digits and '-'", id="a dot in the name"),
    ],
)
def test_refused_name(client, name: str, read: str):
    assert read in _refusal(client, {"model": {"uri": "s3://models/pavement.onnx", "version": "7"}}, name)


def test_all_faults_are_told_at_once(client):
    told = _refusal(client, yaml.safe_load("{model: {uri: nowhere, version: '-'}, exposure: {host: 'HTTP://x'}}"))
    assert all(part in told for part in ("spec.model.uri must", "spec.model.version must", "spec.exposure.host must"))


def _refusal(client, spec: Any, name: str = "pavement") -> str:
    try:
        client.create(spec, name=name)
    except Exception as refused:
        if type(refused).__name__ == "Refused":
            return str(refused)
        raise
    pytest.fail("the API server accepted it")
