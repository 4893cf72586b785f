"""What the operator's API tests are written with: objects of one namespace, the operator process, its writes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kubernetes import config
from kubernetes.client.exceptions import ApiException

from crackseg_local.audit import Request
from crackseg_local.controlplane import ControlPlane, free_port

ROOT = Path(__file__).parents[3]
DEADLINE = 90.0  # seconds: what comes at all comes in a tenth of it, unless the machine is busy
USER = "system:serviceaccount:crackseg-system:crackseg-operator"
PATHS = {
    "CrackSegModel": "/apis/crackseg.io/v1alpha1/namespaces/{}/cracksegmodels",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "ResourceQuota": "/api/v1/namespaces/{}/resourcequotas",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
    "Event": "/apis/events.k8s.io/v1/namespaces/{}/events",
}
CHILDREN = (
    "Deployment",
    "Service",
    "ServiceAccount",
    "Ingress",
    "NetworkPolicy",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
)


def wait_for(what: Callable[[], Any], *, seconds: float = DEADLINE, why: str = "") -> Any:
    """The first truthy answer of `what`; fails with the last answer after the deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {why or what.__doc__ or what}: {answer!r}"
        time.sleep(0.02)
    return answer


class Api:
    """Raw objects through the official client, as an administrator."""

    def __init__(self, kubeconfig: Path) -> None:
        self._client = config.new_client_from_config(str(kubeconfig))

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        rest: Any = self._client.call_api(
            method,
            self._client.configuration.host + path,
            header_params={"Content-Type": content_type, "Accept": "application/json"},
            body=body,
        )
        rest.read()
        if rest.status >= 400:
            raise ApiException(status=rest.status, reason=rest.data.decode())
        return json.loads(rest.data)


@dataclass
class Space:
    """One namespace of a test."""

    api: Api
    plane: ControlPlane
    name: str

    def path(self, kind: str, name: str = "") -> str:
        return PATHS[kind].format(self.name) + (f"/{name}" if name else "")

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = self.api.call("GET", self.path(kind, name))
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return answer

    def list(self, kind: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.api.call("GET", self.path(kind))["items"]
        return [{"kind": kind, **item} for item in items]

    def create(self, kind: str, raw: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self.api.call("POST", self.path(kind), raw)
        return answer

    def patch(self, kind: str, name: str, change: Any, *, sub: str = "") -> dict[str, Any]:
        strategic = kind == "Deployment" and not isinstance(change, list) and not sub
        content = "json-patch" if isinstance(change, list) else "strategic-merge-patch" if strategic else "merge-patch"
        path = self.path(kind, name) + sub
        answer: dict[str, Any] = self.api.call("PATCH", path, change, f"application/{content}+json")
        return answer

    def delete(self, kind: str, name: str, *, propagation: str = "Background") -> None:
        self.api.call("DELETE", f"{self.path(kind, name)}?propagationPolicy={propagation}")

    def apply_model(self, name: str = "pavement", *, version: str = "1.0.0", **spec: Any) -> dict[str, Any]:
        """Create a model with every child, or change its version."""
        model = {"uri": f"s3://models/{name}/{version}/model.onnx", "version": version}
        if self.get("CrackSegModel", name):
            return self.patch("CrackSegModel", name, {"spec": {"model": model, **spec}})
        full = {
            "model": model,
            "replicas": 2,
            "serving": {"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}},
            "autoscaling": {"minReplicas": 2, "maxReplicas": 5},
            "exposure": {"host": f"{name}.example.org"},
        }
        head = {"apiVersion": "crackseg.io/v1alpha1", "kind": "CrackSegModel", "metadata": {"name": name}}
        return self.create("CrackSegModel", {**head, "spec": {**full, **spec}})

    def children(self, name: str = "pavement") -> list[dict[str, Any]]:
        """What the model owns."""
        model = self.get("CrackSegModel", name)
        return [child for kind in CHILDREN for child in self.list(kind) if model and _controller(child) == uid(model)]

    def status(self, name: str = "pavement") -> dict[str, Any]:
        return (self.get("CrackSegModel", name) or {}).get("status", {})

    def condition(self, kind: str, name: str = "pavement") -> dict[str, Any]:
        return next((entry for entry in self.status(name).get("conditions", []) if entry["type"] == kind), {})

    def settled(self, name: str = "pavement") -> dict[str, Any]:
        """The model once the operator has judged its present generation."""

        def judged() -> Any:
            model = self.get("CrackSegModel", name)
            seen = model and model.get("status", {}).get("observedGeneration")
            return model if model and seen == model["metadata"]["generation"] else None

        return wait_for(judged, why=f"{name}: status.observedGeneration reaches metadata.generation")

    def writes(self, user: str = USER) -> list[Request]:
        """What the operator, or somebody else, wrote into this namespace; leases and Events are not counted.

        The API server writes a line of its log after what it tells of can be seen: what was just seen may be missing.
        """
        answered = self.plane.writes(user=user)
        return [write for write in answered if write.namespace == self.name and write.resource != "events"]

    def quiet(self, seconds: float = 1.5) -> list[Request]:
        """The operator's writes, once none has come for so long."""
        self._unchanged(self.writes, seconds)
        return self.writes()

    def rest(self) -> list[Request]:
        """The operator's writes, once the controllers have nothing to do either: what they do makes work for it."""
        wait_for(self._pods_counted, why="the Deployment controller has made the pods and told how many")
        self._unchanged(lambda: self.writes(user=""), 1.5)
        return self.writes()

    def _pods_counted(self) -> bool:
        told = [(raw["metadata"]["generation"], raw["spec"], raw.get("status", {})) for raw in self.list("Deployment")]
        return all(
            status.get("observedGeneration") == generation and status.get("replicas", 0) >= spec["replicas"]
            for generation, spec, status in told
        )

    @staticmethod
    def _unchanged(writes: Callable[[], list[Request]], seconds: float) -> None:
        known, since = len(writes()), time.monotonic()
        deadline = since + seconds + 2 * DEADLINE
        while time.monotonic() - since < seconds:
            time.sleep(0.25)
            if (now := len(writes())) != known:
                known, since = now, time.monotonic()
                assert since < deadline, f"something is written again and again: {writes()[-5:]}"


def _controller(raw: dict[str, Any]) -> str:
    references = raw["metadata"].get("ownerReferences", [])
    return next((reference["uid"] for reference in references if reference.get("controller")), "")


def uid(raw: dict[str, Any]) -> str:
    value: str = raw["metadata"]["uid"]
    return value


@dataclass
class Operator:
    """The operator as a real process, with the rights of its own service account."""

    kubeconfig: Path
    log: Path
    namespace: str | None
    environment: dict[str, str] = field(default_factory=dict)
    within: tuple[str, ...] = ()  # a command that starts another one: the surroundings of the process
    process: subprocess.Popen[bytes] | None = None
    health_port: int = 0

    def start(self, *, wait: bool = True) -> None:
        self.health_port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment |= {
            "KUBECONFIG": str(self.kubeconfig),
            "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'serving'}",
            "WATCH_NAMESPACE": self.namespace or "",
            "LEADER_ELECTION": "Disabled",
            "METRICS_PORT": str(self.health_port),
            "HEALTH_PORT": str(self.health_port),
            "SERVING_IMAGE": "crackseg-serving:test",
            "LOG_LEVEL": os.environ.get("TEST_LOG_LEVEL", "INFO"),
            **self.environment,
        }
        with self.log.open("ab") as log:
            dies_with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
            command = [*dies_with_us, *self.within, sys.executable, "-m", "crackseg_operator"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        if wait:
            wait_for(self.ready, why=f"the operator is ready; its log: {self.log}")

    def ready(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.log.read_text()
        return self.ask("/readyz").startswith("ok")

    def ask(self, path: str) -> str:
        """What an endpoint says; empty where it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=30) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return ""

    def kill(self) -> None:
        """As a lost node does it."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """As a kubelet does it; the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextmanager
def running(operator: Operator) -> Iterator[Operator]:
    """The operator, stopped in any case."""
    try:
        operator.start()
        yield operator
    finally:
        operator.stop()


def install(plane: ControlPlane) -> Path:
    """The CRD and the operator's own rights, from the shipped manifests; the operator's kubeconfig."""
    plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    plane.wait_for_api("crackseg.io/v1alpha1")
    kubeconfig = plane.service_account_kubeconfig("crackseg-system", "crackseg-operator")
    manifests = yaml.safe_load_all(plane.kubectl("kustomize", str(ROOT / "deploy" / "kustomize")))
    wanted = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    rights = [raw for raw in manifests if raw.get("kind") in wanted]
    assert rights, "no RBAC manifests in deploy/kustomize"
    plane.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(raw) for raw in rights))
    return kubeconfig
