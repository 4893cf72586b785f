"""The HorizontalPodAutoscaler. It scales the CrackSegModel, never a Deployment, so it cannot fight a rollout."""

from __future__ import annotations

from typing import Any, Final

from crackseg_operator.api.names import API_VERSION, KIND
from crackseg_operator.api.spec import Autoscaling, AutoscalingMetric
from crackseg_operator.core.desired.metadata import Object, child
from crackseg_operator.core.observed import ObservedModel

#: Served by a custom metrics adapter from the server's own metric.
_QUEUE_DEPTH: Final = "crackseg_queue_depth"


def build_autoscaler(model: ObservedModel, autoscaling: Autoscaling) -> Object:
    """The HorizontalPodAutoscaler on the model's scale subresource."""
    spec = {
        "scaleTargetRef": {"apiVersion": API_VERSION, "kind": KIND, "name": model.name},
        "minReplicas": autoscaling.min_replicas,
        "maxReplicas": autoscaling.max_replicas,
        "metrics": [_metric(metric) for metric in autoscaling.metrics],
    }
    return {**child("autoscaling/v2", "HorizontalPodAutoscaler", model.name, model), "spec": spec}


def _metric(metric: AutoscalingMetric) -> dict[str, Any]:
    if metric.type == "CPU":
        target = {"type": "Utilization", "averageUtilization": metric.average_utilization_percent}
        return {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    target = {"type": "AverageValue", "averageValue": str(metric.average_value)}
    return {"type": "Pods", "pods": {"metric": {"name": _QUEUE_DEPTH}, "target": target}}
