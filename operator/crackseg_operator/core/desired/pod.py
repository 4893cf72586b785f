"""The pod template of a revision: fetch and verify the model, then serve it.

Called by `deployment`. A function of the revision's source alone: nothing that scales, exposes or rolls out may
reach in here, or it would restart pods. Hardened: no root, no token, nothing writable but two empty folders.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from crackseg_operator.api.serving import Serving
from crackseg_operator.core.desired.metadata import labels, selector
from crackseg_operator.core.desired.probes import PROBES
from crackseg_operator.core.observed import ObservedModel
from crackseg_operator.core.quantity import canonical
from crackseg_operator.core.revision import Source
from crackseg_serving import contract

_USER: Final = 65532
_GPU: Final = "nvidia.com/gpu"
_HOST: Final = "kubernetes.io/hostname"

#: Set aside where the spec says nothing: without a CPU request an autoscaler has nothing to be relative to.
_DEFAULT_REQUESTS: Final = {"cpu": "250m", "memory": "256Mi"}

_MODELS: Final = "models"
_SCRATCH: Final = "scratch"
_CLAIM: Final = "claim"
_ENGINES: Final = "engines"

_CONTAINER_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def build_pod_template(model: ObservedModel, source: Source, pull_policy: str) -> dict[str, Any]:
    """The template of the revision's Deployment."""
    serving = source.serving
    spec: dict[str, Any] = {
        "serviceAccountName": model.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": contract.TERMINATION_GRACE_SECONDS,
        "securityContext": _pod_security(source),
        "initContainers": [_fetch(source, pull_policy)],
        "containers": [_serve(model, source, pull_policy)],
        "volumes": _volumes(source),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": _HOST,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(model, source.revision)},
            }
        ],
    }
    if serving.node_selector:
        spec["nodeSelector"] = dict(serving.node_selector)
    if serving.tolerations:
        spec["tolerations"] = [
            toleration.model_dump(by_alias=True, exclude_none=True) for toleration in serving.tolerations
        ]
    if serving.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": secret.name} for secret in serving.image_pull_secrets]
    return {"metadata": {"labels": labels(model, source)}, "spec": spec}


def _pod_security(source: Source) -> dict[str, Any]:
    security: dict[str, Any] = {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if source.serving.engine_cache_claim_name:
        # A new volume is root's; once the group is the server's, the kubelet need not walk through it again.
        security |= {"fsGroup": _USER, "fsGroupChangePolicy": "OnRootMismatch"}
    return security


def _fetch(source: Source, pull_policy: str) -> dict[str, Any]:
    """The init container: it alone sees the credentials, it alone writes the model's folder."""
    env = {contract.MODEL_URI: source.model.uri, contract.MODEL_PATH: contract.MODEL_FILE}
    if source.model.sha256:
        env[contract.MODEL_SHA256] = source.model.sha256
    container = _container("fetch", source, pull_policy, contract.FETCH_COMMAND, env)
    # As much as the server's own: a pod needs the greater of the two, so this costs nothing and passes any quota.
    container["resources"] = _resources(source, gpus=0)
    container["volumeMounts"] = [_mount(_MODELS, contract.MODEL_FOLDER), _mount(_SCRATCH, contract.SCRATCH_FOLDER)]
    if claim := _claim(source):
        # Where it is the engines' too, it is one volume: the kubelet waits for ever for a second one of the same claim.
        volume = _ENGINES if claim == source.serving.engine_cache_claim_name else _CLAIM
        container["volumeMounts"].append(_mount(volume, f"{contract.CLAIM_FOLDER}/{claim}", read_only=True))
    if secret := source.model.credentials_secret_name:
        container["envFrom"] = [{"secretRef": {"name": secret}}]
    return container


def _serve(model: ObservedModel, source: Source, pull_policy: str) -> dict[str, Any]:
    serving = source.serving
    env = {
        contract.MODEL_PATH: contract.MODEL_FILE,
        contract.MODEL_NAME: model.name,
        contract.MODEL_VERSION: source.model.version,
        contract.INFERENCE_DEVICE: serving.device,
        contract.APP_PORT: str(contract.PORT),
        contract.APP_GRPC_PORT: str(contract.GRPC_PORT),
        contract.BATCH_SIZE: str(serving.batching.max_size),
        contract.BATCH_DELAY_MILLISECONDS: str(serving.batching.max_delay_milliseconds),
        contract.TILE_SIZE: str(serving.tiling.size_pixels),
        contract.TILE_OVERLAP: str(serving.tiling.overlap_pixels),
    }
    container = _container("serving", source, pull_policy, contract.SERVE_COMMAND, env | _wishes(serving))
    limits = serving.resources.limits
    for variable, resource in ((contract.MAX_WORKERS, "cpu"), (contract.MEMORY_LIMIT, "memory")):
        if resource in limits:
            field = {"containerName": "serving", "resource": f"limits.{resource}", "divisor": "1"}
            container["env"].append({"name": variable, "valueFrom": {"resourceFieldRef": field}})
    mounts = [_mount(_MODELS, contract.MODEL_FOLDER, read_only=True), _mount(_SCRATCH, contract.SCRATCH_FOLDER)]
    if serving.engine_cache_claim_name:
        mounts.append(_mount(_ENGINES, contract.ENGINE_CACHE_FOLDER))
    return {
        **container,
        **PROBES,
        "ports": [
            {"name": contract.PORT_NAME, "containerPort": contract.PORT, "protocol": "TCP"},
            {"name": contract.GRPC_PORT_NAME, "containerPort": contract.GRPC_PORT, "protocol": "TCP"},
        ],
        "resources": _resources(source, serving.gpus),
        "volumeMounts": mounts,
    }


def _wishes(serving: Serving) -> dict[str, str]:
    """What is only said where the spec says it: all else is the server's own default, or the model's."""
    wishes: dict[str, str] = {}
    if serving.precision != "Exact":
        wishes[contract.PRECISION] = serving.precision
    if serving.tiling.skip_empty_tiles != "Disabled":
        wishes[contract.SKIP_EMPTY_TILES] = serving.tiling.skip_empty_tiles
    if serving.input_size_pixels is not None:
        wishes[contract.INPUT_SIZE] = str(serving.input_size_pixels)
    if serving.threshold_percent is not None:
        wishes[contract.THRESHOLD_PERCENT] = str(serving.threshold_percent)
    if serving.engine_cache_claim_name:
        wishes[contract.ENGINE_CACHE] = contract.ENGINE_CACHE_FOLDER
    if serving.image_url and serving.image_url.allowed_hosts:
        wishes[contract.IMAGE_URL_HOSTS] = ",".join(serving.image_url.allowed_hosts)
    return wishes


def _container(
    name: str, source: Source, pull_policy: str, command: tuple[str, ...], env: dict[str, str]
) -> dict[str, Any]:
    return {
        "name": name,
        "image": source.image,
        "imagePullPolicy": pull_policy,
        "command": list(command),
        "env": [{"name": variable, "value": value} for variable, value in env.items()],
        "securityContext": _CONTAINER_SECURITY,
        "terminationMessagePath": contract.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
    }


def _resources(source: Source, gpus: int) -> dict[str, Any]:
    """The spec's own, then what is set aside by default; a limit without a request is its own request."""
    asked = source.serving.resources
    limits = {name: canonical(amount) for name, amount in asked.limits.items()}
    requests = {name: amount for name, amount in _DEFAULT_REQUESTS.items() if name not in limits}
    requests |= {name: canonical(amount) for name, amount in asked.requests.items()}
    if gpus:
        limits[_GPU] = str(gpus)
    return {kind: amounts for kind, amounts in (("requests", requests), ("limits", limits)) if amounts}


def _volumes(source: Source) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [{"name": _MODELS, "emptyDir": {}}, {"name": _SCRATCH, "emptyDir": {}}]
    engines = source.serving.engine_cache_claim_name
    if (claim := _claim(source)) and claim != engines:
        # Read-only for the whole pod: one claim serves many, and the kubelet leaves its files' owners alone.
        volumes.append({"name": _CLAIM, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    if engines:
        volumes.append({"name": _ENGINES, "persistentVolumeClaim": {"claimName": engines}})
    return volumes


def _claim(source: Source) -> str:
    uri = urlsplit(source.model.uri)
    return uri.netloc if uri.scheme == "pvc" else ""


def _mount(volume: str, path: str, *, read_only: bool = False) -> dict[str, Any]:
    return {"name": volume, "mountPath": path} | ({"readOnly": True} if read_only else {})
