"""Services: the stable one that clients use, and a candidate's own.

Traffic is moved by one field, the stable Service's selector: with a revision in it that revision alone serves,
without one all ready pods of the model share.
"""

from __future__ import annotations

from typing import Any, Final

from crackseg_operator.core.desired.metadata import Object, child, revision_name, selector
from crackseg_operator.core.observed import ObservedModel
from crackseg_operator.core.revision import Source
from crackseg_serving import contract

#: What clients inside the cluster connect to.
SERVICE_PORT: Final = 80
GRPC_SERVICE_PORT: Final = contract.GRPC_PORT
_H2C: Final = {"appProtocol": "kubernetes.io/h2c"}  # for proxies that cannot tell gRPC by the port's name


def build_service(model: ObservedModel, revision: str | None) -> Object:
    """The Service that clients use. `revision` gets all traffic; None: all ready pods share it."""
    return {**child("v1", "Service", model.name, model), "spec": _spec(model, revision)}


def build_candidate_service(model: ObservedModel, source: Source) -> Object:
    """A candidate's own Service: it can be tried before it gets traffic."""
    head = child("v1", "Service", revision_name(model, source.revision), model, source=source)
    return {**head, "spec": _spec(model, source.revision)}


def _spec(model: ObservedModel, revision: str | None) -> dict[str, Any]:
    ports = [
        _port(contract.PORT_NAME, SERVICE_PORT),
        {**_port(contract.GRPC_PORT_NAME, GRPC_SERVICE_PORT), **_H2C},
        {**_port(contract.PAGE_PORT_NAME, contract.PAGE_PORT), "targetPort": contract.PORT_NAME},
    ]
    return {"type": "ClusterIP", "selector": selector(model, revision), "ports": ports}


def _port(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "port": number, "protocol": "TCP", "targetPort": name}
