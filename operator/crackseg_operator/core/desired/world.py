"""All children of one model: what shall exist.

Called by `plan` with what the rollout decided: how many pods of which revision, and who gets the traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crackseg_operator.api.spec import Spec
from crackseg_operator.core.desired.account import build_service_account
from crackseg_operator.core.desired.autoscaler import build_autoscaler
from crackseg_operator.core.desired.deployment import build_deployment
from crackseg_operator.core.desired.disruption import build_disruption_budget
from crackseg_operator.core.desired.ingress import build_ingress
from crackseg_operator.core.desired.metadata import Object, seal
from crackseg_operator.core.desired.network import build_network_policy
from crackseg_operator.core.desired.service import build_candidate_service, build_service
from crackseg_operator.core.observed import ObservedModel
from crackseg_operator.core.revision import Source


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rollout's decision, in the builders' words."""

    pods: Mapping[str, int]  # revision -> pods; each has a Deployment
    traffic: str | None  # the one revision that the stable Service selects; None: all of them
    tried: str | None = None  # the candidate that runs beside a stable revision and gets a Service of its own


def build_world(
    model: ObservedModel, spec: Spec, sources: Mapping[str, Source], wanted: Wanted, pull_policy: str
) -> tuple[Object, ...]:
    """Every child that shall exist. A child that would add nothing is left out."""
    children = [build_service_account(model), build_network_policy(model), build_service(model, wanted.traffic)]
    children += [
        build_deployment(model, sources[revision], pods, pull_policy)
        for revision, pods in sorted(wanted.pods.items())
        if revision in sources
    ]
    if wanted.tried and wanted.tried in sources:
        children.append(build_candidate_service(model, sources[wanted.tried]))
    if max(spec.replicas, spec.autoscaling.max_replicas if spec.autoscaling else 0) > 1:
        children.append(build_disruption_budget(model))
    if spec.autoscaling:
        children.append(build_autoscaler(model, spec.autoscaling))
    if spec.exposure:
        children.append(build_ingress(model, spec.exposure))
    return tuple(seal(child) for child in children)
