"""The Ingress in front of the stable Service, where the spec asks for exposure."""

from __future__ import annotations

from typing import Any, Final

from crackseg_operator.api.spec import Exposure
from crackseg_operator.core.desired.metadata import Object, child
from crackseg_operator.core.observed import ObservedModel
from crackseg_serving import contract

_CLUSTER_ISSUER: Final = "cert-manager.io/cluster-issuer"


def build_ingress(model: ObservedModel, exposure: Exposure) -> Object:
    """The Ingress: one host, all paths."""
    annotations = dict(exposure.ingress.annotations)
    if exposure.tls and exposure.tls.cluster_issuer:
        annotations[_CLUSTER_ISSUER] = exposure.tls.cluster_issuer
    backend = {"service": {"name": model.name, "port": {"name": contract.PORT_NAME}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec: dict[str, Any] = {"rules": [{"host": exposure.host, "http": {"paths": [path]}}]}
    if exposure.ingress.class_name:
        spec["ingressClassName"] = exposure.ingress.class_name
    if exposure.tls:
        spec["tls"] = [{"hosts": [exposure.host], "secretName": exposure.tls.secret_name}]
    head = child("networking.k8s.io/v1", "Ingress", model.name, model, annotations=annotations)
    return {**head, "spec": spec}


def url(model: ObservedModel, exposure: Exposure | None) -> str:
    """Where clients reach the model: from outside where it is exposed, else inside the cluster."""
    if exposure is None:
        return f"http://{model.name}.{model.namespace}.svc"
    return f"{'https' if exposure.tls else 'http'}://{exposure.host}"
