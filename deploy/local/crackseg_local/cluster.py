"""The cluster as a whole: bringing it up from any state, and saying how it is.

Called by `__main__`. Bringing up is a list of steps each of which does nothing where its work is already done, so the
same command starts, repairs and continues after a kill.
"""

import base64
import hashlib
import json
import string
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crackseg_local import (
    addresses,
    cgroups,
    controlplane,
    machine,
    network,
    packages,
    processes,
    programs,
    systemimages,
    teardown,
)
from crackseg_local.addresses import NODES
from crackseg_local.command import run
from crackseg_local.components import Endpoint
from crackseg_local.errors import LocalClusterError
from crackseg_local.lock import locked
from crackseg_local.node import NodePrograms, check_socket_path
from crackseg_local.paths import State, source_folder, state_folder
from crackseg_local.pki import Authority
from crackseg_local.plane import Plane
from crackseg_local.processes import Process
from crackseg_local.progress import say
from crackseg_local.systemimages import SystemImage

_API_SECONDS = 300.0
_WAIT = "--timeout=300s"
_MANIFESTS = ("coredns", "metrics-server", "traefik")


@dataclass(frozen=True)
class Cluster:
    """The parts of the cluster of one state folder."""

    state: State
    bin: Path

    @property
    def plane(self) -> Plane:
        """The control plane, on the host's address of the cluster's network."""
        endpoint = Endpoint(addresses.HOST_ADDRESS, addresses.API_PORT, addresses.SERVICE_RANGE)
        hosts = (addresses.HOST_ADDRESS, addresses.API_ADDRESS_IN_CLUSTER, "kubernetes.default.svc", "localhost")
        return Plane(self.state.root, self.bin, endpoint, hosts)

    @property
    def nodes(self) -> tuple[NodePrograms, ...]:
        """The nodes' programs."""
        server = f"https://{addresses.HOST_ADDRESS}:{addresses.API_PORT}"
        return tuple(NodePrograms(node, self.state, self.bin, server) for node in NODES)

    def processes(self) -> tuple[Process, ...]:
        """Every program of the cluster, in the order of their start."""
        plane = self.plane
        of_nodes = [p for node in self.nodes for p in (node.containerd, node.kubelet, node.proxy)]
        return (*plane.core(), plane.controller_manager, plane.scheduler, *of_nodes)

    def identity(self) -> str:
        """What was started and when: a cluster with another identity is not repaired but replaced."""
        kubernetes = programs.program_path("kube-apiserver").parent.name
        digest = hashlib.sha256(f"{machine.boot()} {kubernetes}".encode())
        for module in ("addresses", "components", "network", "nodeconfig"):
            digest.update(Path(__file__).with_name(f"{module}.py").read_bytes())
        return digest.hexdigest()

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as administrator."""
        return run([self.bin / "kubectl", f"--kubeconfig={self.state.kubeconfig}", *arguments], stdin=stdin)


def up() -> Cluster:
    """Bring the cluster up, or repair it, and return when both nodes and the system's pods are ready."""
    machine.check()
    packages.ensure(packages.CLUSTER_PROGRAMS)
    cluster = Cluster(State(state_folder()), programs.ensure(programs.CLUSTER))
    images = systemimages.addons()
    _together(image.ensure for image in (systemimages.pause(), *images))
    with locked(cluster.state.root.parent / "cluster.lock", "brings the cluster up or down"):
        _clear_the_way(cluster)
        _start(cluster, images)
    say(f"the cluster is up: export KUBECONFIG={cluster.state.kubeconfig}")
    say(f"kubectl and the other programs: {cluster.bin}; the Ingress: http://{addresses.INGRESS_ADDRESS}")
    return cluster


def down() -> None:
    """Take the cluster away."""
    machine.check()
    state = State(state_folder())
    with locked(state.root.parent / "cluster.lock", "brings the cluster up or down"):
        controlplane.remove_abandoned()
        teardown.down(state)
    say("the cluster is down")


def running() -> Cluster:
    """The cluster that is up.

    Raises LocalClusterError when none is.
    """
    cluster = Cluster(State(state_folder()), programs.bin_folder())
    if not cluster.state.kubeconfig.exists() or cluster.plane.apiserver.running_pid() is None:
        raise LocalClusterError("No local cluster is running. Start it with: make cluster")
    return cluster


def status() -> str:
    """What runs, for a person: processes, nodes and the system's pods.

    Raises LocalClusterError when no cluster is up.
    """
    cluster = running()
    lines = [f"{process.name:26} {_how(process)}" for process in cluster.processes()]
    seen = cluster.kubectl("get", "nodes,pods", "--all-namespaces", "--output=wide")
    return "\n".join([*lines, "", seen, f"export KUBECONFIG={cluster.state.kubeconfig}"])


def _how(process: Process) -> str:
    pid = process.running_pid()
    return f"runs, pid {pid}" if pid else f"does not run; see {process.log}"


def _clear_the_way(cluster: Cluster) -> None:
    """Remove what an earlier start left and this one cannot go on with; note what is about to be started."""
    state = cluster.state
    check_socket_path(state, NODES[0])
    usable = state.identity.exists() and state.identity.read_text() == cluster.identity() and network.exists()
    if not usable:
        if teardown.leftovers(state):
            say("removing what an earlier start left")
            teardown.down(state)
        state.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        state.identity.write_text(cluster.identity())
        network.create()
    cgroups.create()


def _start(cluster: Cluster, images: Iterable[SystemImage]) -> None:
    plane = cluster.plane
    plane.prepare()
    for node in cluster.nodes:
        node.configure(plane.authority)
    with ThreadPoolExecutor() as pool:
        api = pool.submit(_start_api, cluster)
        runtimes = [pool.submit(_start_runtime, node) for node in cluster.nodes]
        imported = pool.submit(_import, cluster.nodes[0], images, runtimes[0])
        for started in (api, *runtimes):
            started.result()
        for process in cluster.processes():
            process.start()
        imported.result()
    _apply(cluster)
    _wait_until_ready(cluster)


def _start_api(cluster: Cluster) -> None:
    """Bring the API server up; one that runs but is not ready may be about to end, so it is replaced."""
    plane = cluster.plane
    url, authority = plane.endpoint.url, plane.authority
    if not controlplane.is_ready(url, authority):
        plane.apiserver.stop(patience_seconds=1.0)
    for process in plane.core():
        process.start()
    what = "the API server was ready"
    processes.wait_for(plane.core(), lambda: controlplane.is_ready(url, authority), what, _API_SECONDS)
    say("the API server is ready")
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin="\n---\n".join(map(json.dumps, node_objects())))


def _start_runtime(node: NodePrograms) -> None:
    node.start_containerd()
    node.import_image(systemimages.pause().archive)
    say(f"{node.node.name}: containerd runs")


def _import(node: NodePrograms, images: Iterable[SystemImage], started: Future[None]) -> None:
    """The system's pods run on one node, so only that one needs their images, and not before its kubelet starts."""
    started.result()
    for image in images:
        node.import_image(image.archive)
    say(f"{node.node.name} has the images of the system's pods")


def node_objects() -> list[dict[str, Any]]:
    """The Node objects, made before the kubelets register, because their pod ranges are part of our routes."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": node.name},
            "spec": {"podCIDR": node.pod_range, "podCIDRs": [node.pod_range]},
        }
        for node in NODES
    ]


def manifests(images: Iterable[SystemImage]) -> str:
    """The objects of the system's own pods, as YAML."""
    references = {image.name: image.reference for image in images}
    common = {
        "HOST_ADDRESS": addresses.HOST_ADDRESS,
        "DNS_ADDRESS": addresses.DNS_ADDRESS,
        "INGRESS_ADDRESS": addresses.INGRESS_ADDRESS,
        "SYSTEM_NODE": NODES[0].name,
    }
    texts = []
    for name in _MANIFESTS:
        template = string.Template((source_folder() / "manifests" / f"{name}.yaml").read_text())
        texts.append(template.substitute(common, IMAGE=references[name]))
    return "\n---\n".join(texts)


def ingress_certificate(authority: Authority) -> dict[str, Any]:
    """Traefik's certificate for hosts without one: otherwise it makes a new key at every change of an endpoint, slowly."""
    pair = authority.server("ingress", [addresses.INGRESS_ADDRESS])
    files = {"tls.crt": pair.certificate, "tls.key": pair.key}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "default-certificate", "namespace": "traefik"},
        "data": {name: base64.b64encode(file.read_bytes()).decode() for name, file in files.items()},
    }


def _apply(cluster: Cluster) -> None:
    apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=crackseg-local", "-f", "-"]
    documents = [manifests(systemimages.addons()), json.dumps(ingress_certificate(cluster.plane.authority))]
    cluster.kubectl(*apply, stdin="\n---\n".join(documents))
    balancer = {"status": {"loadBalancer": {"ingress": [{"ip": addresses.INGRESS_ADDRESS}]}}}
    patch = ["patch", "service", "traefik", "--namespace=traefik", "--subresource=status", "--type=merge"]
    cluster.kubectl(*patch, "-p", json.dumps(balancer))


def _wait_until_ready(cluster: Cluster) -> None:
    """Wait for the nodes and the system's pods; when it takes too long, the error shows what kubectl sees."""

    def ready(namespace: str, name: str) -> Callable[[], None]:
        def wait() -> None:
            cluster.kubectl("rollout", "status", f"deployment/{name}", f"--namespace={namespace}", _WAIT)
            say(f"{name} is ready")

        return wait

    def metrics() -> None:
        wait = ["wait", "--namespace=kube-system", _WAIT]
        cluster.kubectl(*wait, "deployment/metrics-server", "--for=jsonpath={.status.updatedReplicas}=1")
        cluster.kubectl(*wait, "pod", "--selector=k8s-app=metrics-server", "--for=jsonpath={.status.phase}=Running")
        say("metrics-server runs; its first figures come a quarter of a minute later")

    try:
        cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", _WAIT)
        say("both nodes are ready")
        _together([ready("kube-system", "coredns"), ready("traefik", "traefik"), metrics])
    except LocalClusterError as failed:
        seen = cluster.kubectl("get", "nodes,pods", "--all-namespaces", "--output=wide")
        raise LocalClusterError(
            f"{failed}\nThe cluster did not become ready. This is what it looks like:\n{seen}\n"
            f"The programs' logs are in {cluster.state.logs}. To start afresh: make down cluster"
        ) from failed


def _together(actions: Iterable[Callable[[], object]]) -> None:
    """Run actions side by side, and raise the first error when all have ended."""
    with ThreadPoolExecutor() as pool:
        for future in [pool.submit(action) for action in actions]:
            future.result()
