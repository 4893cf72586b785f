"""The PodDisruptionBudget: a drained node takes one pod at a time."""

from __future__ import annotations

from crackseg_operator.core.desired.metadata import Object, child, selector
from crackseg_operator.core.observed import ObservedModel


def build_disruption_budget(model: ObservedModel) -> Object:
    """The budget over all pods of the model. Pods that are not ready may always go: they answer nobody."""
    spec = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": selector(model)},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return {**child("policy/v1", "PodDisruptionBudget", model.name, model), "spec": spec}
