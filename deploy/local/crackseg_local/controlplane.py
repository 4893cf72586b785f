"""A control plane alone, on loopback, in a temporary folder: what API tests need, in about three seconds.

    with ControlPlane() as plane:
        plane.kubectl("get", "namespaces")
        kubeconfig = plane.service_account_kubeconfig("crackseg-system", "crackseg-operator")

Many run side by side. RBAC is on, and `plane.writes(user=…)` reads the audit log. Used by pytest fixtures and the
benchmark; it knows nothing of nodes that run containers (kwok's simulated ones it has).
"""

import atexit
import contextlib
import json
import os
import random
import shutil
import socket
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from crackseg_local import audit, packages, processes, programs
from crackseg_local.command import run
from crackseg_local.components import Endpoint
from crackseg_local.errors import LocalClusterError
from crackseg_local.pki import Authority
from crackseg_local.plane import Plane

_PREFIX = "crackseg-plane-"
_READY_SECONDS = 250.0
_SERVICE_RANGE = "10.96.0.0/16"
_START_ATTEMPTS = 3
# Below those that Linux gives to whoever asks for any (32768 and above), and below Kubernetes' own range for nodes.
_PORTS = range(12_000, 30_000)


class ControlPlane:
    """An API server with its etcd and, as asked for, controllers, a scheduler and simulated nodes."""

    def __init__(self, *, controllers: bool = True, scheduler: bool = False, nodes: int = 0) -> None:
        """Build what is missing and prepare a folder; `start` starts it.

        `nodes` is the number of simulated (kwok) nodes; with any, the scheduler runs too.
        """
        self._controllers = controllers
        self._nodes = nodes
        self._scheduler = scheduler or nodes > 0
        packages.ensure(["openssl"])
        self.bin = programs.ensure([*programs.CONTROL_PLANE, *(["kwok"] if nodes else [])])
        remove_abandoned()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.kubeconfig = self.folder / "kubeconfig"
        self.audit_log = self.folder / "audit.log"
        hosts = ("127.0.0.1", "localhost", "kubernetes.default.svc")
        self._plane = Plane(self.folder, self.bin, Endpoint("127.0.0.1", 0, _SERVICE_RANGE), hosts)

    def __enter__(self) -> Self:
        """Start."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop and remove everything."""
        self.stop()

    @property
    def url(self) -> str:
        """The API server's address."""
        return self._plane.endpoint.url

    def start(self) -> None:
        """Start every program and wait until the API server is ready."""
        atexit.register(self.stop)
        self._plane.etcd.start()
        self._start_apiserver()
        self._start_controllers()
        for number in range(1, self._nodes + 1):
            self._create_node(f"kwok-{number}")

    def stop(self) -> None:
        """Stop every program and remove the folder; a second call does nothing."""
        atexit.unregister(self.stop)
        processes.stop_all(processes.find_all(self.folder), self.folder, patience_seconds=0.5)
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop_apiserver(self) -> None:
        """Take the API server away, as a failure or an upgrade does; etcd keeps the objects."""
        self._plane.apiserver.stop(patience_seconds=0.5)

    def start_apiserver(self) -> None:
        """Bring it back on the same port, and wait until it is ready."""
        apiserver = self._plane.apiserver
        apiserver.start()
        processes.wait_for([self._plane.etcd, apiserver], self._is_ready, "the API server was ready", _READY_SECONDS)

    def restart_apiserver(self) -> None:
        """Take the API server away and bring it back."""
        self.stop_apiserver()
        self.start_apiserver()

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as administrator and return what it prints; LocalClusterError carries what it complained of."""
        return run([self.bin / "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments], stdin=stdin)

    def wait_for_api(self, group_version: str) -> None:
        """Wait until the API server serves a group that a CRD brings, and says so to kubectl; `kubectl wait` fails on a CRD without conditions."""

        def is_served() -> bool:
            try:
                self.kubectl("get", "--raw", f"/apis/{group_version}")
                named = self.kubectl("api-resources", f"--api-group={group_version.partition('/')[0]}", "--output=name")
            except LocalClusterError:
                return False
            return bool(named.strip())  # the list of all groups is made anew a bit after the group is served

        if not processes.wait_until(is_served, 60):
            raise LocalClusterError(f"the API server does not serve {group_version} after 60 s: is its CRD applied?")

    def user_kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig of any user, by client certificate; the user has the rights that RBAC gives it and no others."""
        return self._plane.user_kubeconfig(user, groups)

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """A kubeconfig of a service account, by token, as a pod has it; namespace and account are made if missing."""
        account = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
        ]
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, account)))
        token = self.kubectl("create", "token", name, f"--namespace={namespace}", "--duration=24h").strip()
        return self._plane.write_kubeconfig(f"account-{namespace}-{name}", {"token": token})

    def writes(self, *, user: str = "") -> list[audit.Request]:
        """Every write that the API server has answered so far, by one user or by all."""
        return audit.writes(self.audit_log, user=user)

    def _start_apiserver(self) -> None:
        """Choose a free port and start; another process may take the port in between, so it is tried again."""
        for attempt in range(1, _START_ATTEMPTS + 1):
            self._plane = replace(self._plane, endpoint=Endpoint("127.0.0.1", free_port(), _SERVICE_RANGE))
            self._plane.prepare()
            try:
                self.start_apiserver()
            except LocalClusterError as failed:
                if attempt == _START_ATTEMPTS or "address already in use" not in str(failed):
                    raise
            else:
                return

    def _start_controllers(self) -> None:
        if self._controllers:
            self._plane.controller_manager.start()
        if self._scheduler:
            self._plane.scheduler.start()
        if self._nodes:
            self._plane.kwok(free_port()).start()

    def _create_node(self, name: str) -> None:
        capacity = {"cpu": "64", "memory": "256Gi", "pods": "2000"}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"},
                "annotations": {"kwok.x-k8s.io/node": "fake"},
            },
            "status": {"capacity": capacity, "allocatable": capacity},
        }
        self.kubectl("create", "-f", "-", stdin=json.dumps(node))

    def _is_ready(self) -> bool:
        return is_ready(self.url, self._plane.authority)


def is_ready(url: str, authority: Authority) -> bool:
    """Whether the API server answers its readiness check."""
    context = ssl.create_default_context(cafile=str(authority.pair.certificate))
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2, context=context) as answer:  # noqa: S310 - https only
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def free_port() -> int:
    """A port of the loopback address that nobody listened on a moment ago, nor is given by the kernel to somebody else."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise LocalClusterError("No port of this machine is free: something listens on every one of them.")


def remove_abandoned() -> None:
    """Stop and remove control planes whose own process was killed before it could do so."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not processes.is_alive(int(owner)):
            processes.stop_all(processes.find_all(folder), folder, patience_seconds=0.0)
            shutil.rmtree(folder, ignore_errors=True)
