"""The ServiceAccount that the pods run as: one of their own, with no token and no rights."""

from __future__ import annotations

from crackseg_operator.core.desired.metadata import Object, child
from crackseg_operator.core.observed import ObservedModel


def build_service_account(model: ObservedModel) -> Object:
    """The ServiceAccount."""
    return {**child("v1", "ServiceAccount", model.name, model), "automountServiceAccountToken": False}
