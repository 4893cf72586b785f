"""The NetworkPolicy: the serving ports and no others can be reached."""

from __future__ import annotations

from crackseg_operator.core.desired.metadata import Object, child, selector
from crackseg_operator.core.observed import ObservedModel
from crackseg_serving import contract


def build_network_policy(model: ObservedModel) -> Object:
    """The policy for all pods of the model. What they may reach is left open: models, and images by URL, come from anywhere."""
    spec = {
        "podSelector": {"matchLabels": selector(model)},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"port": port, "protocol": "TCP"} for port in (contract.PORT, contract.GRPC_PORT)]}],
    }
    return {**child("networking.k8s.io/v1", "NetworkPolicy", model.name, model), "spec": spec}
