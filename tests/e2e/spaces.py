"""The words that the end-to-end stories are written in: a namespace of their own, models in it, and what was seen of them.

A `Space` watches its CrackSegModels from the first moment on, so that a story can ask afterwards which reasons were told,
when, and how often the status was written. Waiting is on that watch: nothing sleeps, nothing polls the API server.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from crackseg_demo.clusters import Cluster
from crackseg_demo.follow import condition
from crackseg_demo.kubectl import Kubectl
from crackseg_demo.load import Target

Resource = dict[str, Any]
STORE = "crackseg-e2e-models"
MODELS = f"http://models.{STORE}"
PATIENCE = 240.0  # seconds; on two busy cores everything takes longer than it should


@dataclass
class Sightings:
    """Everything that the watch has told of one model."""

    latest: Resource | None = None
    statuses: list[dict[str, Any]] = field(default_factory=list)  # each different one, in order
    reasons: dict[str, float] = field(
        default_factory=dict
    )  # of Ready: seconds from the model's first sight to the reason's
    began: float = field(default_factory=time.monotonic)

    def see(self, resource: Resource) -> None:
        self.latest = resource
        status = resource.get("status", {})
        if status and (not self.statuses or self.statuses[-1] != status):
            self.statuses.append(status)
        reason = condition(resource, "Ready").get("reason")
        if reason:
            self.reasons.setdefault(reason, time.monotonic() - self.began)


class Space:
    """A namespace with CrackSegModels."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.kubectl: Kubectl = cluster.kubectl.within(name)
        self._seen: dict[str, Sightings] = {}
        self._news = threading.Condition()
        self._watch = subprocess.Popen(
            self.kubectl.command("get", "csm", "--watch", "--output-watch-events", "--output=json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"watch of {name}")
        self._reader.start()

    def close(self) -> None:
        """Stop watching and remove the namespace; nobody waits for its end here."""
        self._watch.terminate()
        self._reader.join()
        if self._watch.stdout:
            self._watch.stdout.close()
        self._watch.wait()
        self.cluster.kubectl("delete", "namespace", self.name, "--wait=false", "--ignore-not-found")

    def given(self, *objects: Resource) -> None:
        """Apply objects."""
        self.kubectl.apply("\n---\n".join(map(json.dumps, objects)))

    def wait(self, name: str, holds: Callable[[Resource], bool], seconds: float = PATIENCE) -> Resource:
        """The model as soon as it is as it should be; AssertionError with all that was seen when it does not become so."""
        with self._news:
            if self._news.wait_for(lambda: self._holds(name, holds), timeout=seconds):
                latest = self.seen(name).latest
                assert latest is not None
                return latest
        raise AssertionError(self._account(name, seconds))

    def seen(self, name: str) -> Sightings:
        """What was seen of a model so far."""
        return self._seen.setdefault(name, Sightings())

    def target(self, host: str) -> Target:
        """The way to a model's host through the Ingress."""
        return Target(self.cluster.ingress, host)

    def children(self, name: str) -> list[str]:
        """KIND/NAME of everything that belongs to a model."""
        kinds = "deployments,services,serviceaccounts,ingresses,networkpolicies,hpa,pdb"
        return sorted(
            f"{child['kind']}/{child['metadata']['name']}"
            for child in self.kubectl.items(kinds, f"--selector=app.kubernetes.io/instance={name}")
        )

    def pods(self, name: str) -> list[Resource]:
        """The pods of a model, all revisions."""
        return self.kubectl.items("pods", f"--selector=app.kubernetes.io/instance={name}")

    def _holds(self, name: str, holds: Callable[[Resource], bool]) -> bool:
        latest = self.seen(name).latest
        return latest is not None and holds(latest)

    def _read(self) -> None:
        for line in self._watch.stdout or ():
            resource = json.loads(line)["object"]
            with self._news:
                self.seen(resource["metadata"]["name"]).see(resource)
                self._news.notify_all()

    def _account(self, name: str, seconds: float) -> str:
        latest = self.seen(name).latest or {}
        parts = [
            f"csm/{name} in {self.name} did not become as it should within {seconds:.0f} s.",
            f"reasons seen: {self.seen(name).reasons}",
            json.dumps(latest.get("status", {}), indent=1),
            self.kubectl.attempt("get", "csm,pods,events", "--output=wide").stdout,
        ]
        return "\n".join(parts)


@contextmanager
def space(cluster: Cluster, name: str) -> Iterator[Space]:
    """A fresh namespace, removed afterwards."""
    cluster.kubectl("create", "namespace", name)
    opened = Space(cluster, name)
    try:
        yield opened
    finally:
        opened.close()


def model(name: str, file: str = "pavement-1.0.0.onnx", version: str = "1.0.0", **parts: Any) -> Resource:
    """A CrackSegModel that runs in little room; `parts` are merged into its spec, key by key."""
    spec: dict[str, Any] = {
        "model": {"uri": f"{MODELS}/{file}", "version": version},
        "serving": {"resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}},
    }
    return {
        "apiVersion": "crackseg.io/v1alpha1",
        "kind": "CrackSegModel",
        "metadata": {"name": name},
        "spec": merged(spec, parts),
    }


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both dicts; where both have a dict, these merged; else the other's value."""
    both = {**one, **other}
    for key in one.keys() & other.keys():
        if isinstance(one[key], dict) and isinstance(other[key], dict):
            both[key] = merged(one[key], other[key])
    return both


def not_ready(reason: str) -> Callable[[Resource], bool]:
    """Whether the model says that it is not ready, for this reason."""

    def holds(resource: Resource) -> bool:
        ready = condition(resource, "Ready")
        return ready.get("status") != "True" and ready.get("reason") == reason

    return holds


def secret(name: str, **values: str) -> Resource:
    """A Secret of plain values."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}
