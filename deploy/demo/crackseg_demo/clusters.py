"""The cluster that the demo runs on: the local one by default, or one that the user has.

`CLUSTER=local` brings up the project's own (root on Linux), `CLUSTER=kind` one in Docker, `CLUSTER=existing` takes what
KUBECONFIG names; the last two are reached through `kubectl port-forward`. Everything after this module is the same.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crackseg_demo import kindcluster
from crackseg_demo.kubectl import Kubectl
from crackseg_demo.terminal import StepFailed
from crackseg_local import addresses, images, othercluster, paths, programs
from crackseg_local.errors import LocalClusterError

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Images:
    """The two images as the cluster knows them."""

    operator: str
    serving: str
    build: str = ""  # tells one build of the operator's image from another with the same name


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up and has the images."""

    kubectl: Kubectl
    helm: str
    images: Images
    ingress: str  # the Ingress controller's address, as a URL without a path
    remove: str  # the command that removes everything


@contextmanager
def cluster(kind: str, tell: Callable[[str], None]) -> Iterator[Cluster]:
    """The cluster of this kind, up and with the images; `tell` gets a line at a time of what goes on meanwhile."""
    if kind == "local":
        yield _local(tell)
    elif kind == "kind":
        with _kind(tell) as found:
            yield found
    elif kind == "existing":
        with _existing() as found:
            yield found
    else:
        raise StepFailed(f"CLUSTER is {kind!r}, but must be local, kind or existing.")


def _local(tell: Callable[[str], None]) -> Cluster:
    with _beside("build", tell):  # Go's linker leaves a core free, and the images need no cluster
        _stream("up", tell)
    _stream("images", tell)
    try:
        tools = programs.ensure(["kubectl", "helm"])
        build = images.build(images.OPERATOR).stem
    except LocalClusterError as error:
        raise StepFailed(str(error)) from error
    return Cluster(
        Kubectl(str(tools / "kubectl"), paths.State(paths.state_folder()).kubeconfig),
        str(tools / "helm"),
        Images(images.OPERATOR.name, images.SERVING_CPU.name, build),
        f"http://{addresses.INGRESS_ADDRESS}",
        "make down",
    )


def _stream(command: str, tell: Callable[[str], None]) -> None:
    """Run a command of the local cluster and hand on its progress; raises StepFailed with the end of it."""
    _follow(command, _start(command), tell)


@contextmanager
def _beside(command: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Run a command while the block runs, and wait for it; a block that fails interrupts it.

    Raises StepFailed with the end of the command's progress.
    """
    process = _start(command)
    with ThreadPoolExecutor(1) as pool:
        followed = pool.submit(_follow, command, process, tell)
        try:
            yield
        except BaseException:
            process.send_signal(signal.SIGINT)
            raise
        followed.result()


def _start(command: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "crackseg_local", command]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "deploy" / "local")}
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _follow(command: str, process: subprocess.Popen[str], tell: Callable[[str], None]) -> None:
    told: list[str] = []
    with process:
        for line in process.stdout or ():
            told.append(line.rstrip())
            tell(line.rstrip())
    if process.returncode != 0:
        end = "\n".join(told[-20:])
        raise StepFailed(f"'crackseg_local {command}' ended with exit code {process.returncode}:\n{end}")


@contextmanager
def _kind(tell: Callable[[str], None]) -> Iterator[Cluster]:
    helm, kubectl = _program("helm"), kindcluster.start(tell)
    names = Images(images.OPERATOR.name, images.SERVING_CPU.name)
    with port_forward(kubectl, "traefik", "traefik") as forwarded:
        yield Cluster(kubectl, helm, names, forwarded, f"kind delete cluster --name {othercluster.KIND_NAME}")


@contextmanager
def _existing() -> Iterator[Cluster]:
    kubectl = Kubectl(_program("kubectl"), _kubeconfig())
    names = Images(_setting("OPERATOR_IMAGE"), _setting("SERVING_IMAGE"))
    remove = (
        "helm uninstall crackseg-operator -n crackseg-system; kubectl delete namespace crackseg-demo crackseg-system"
    )
    url = os.environ.get("INGRESS_URL", "")
    if url:
        yield Cluster(kubectl, _program("helm"), names, url.rstrip("/"), remove)
        return
    with port_forward(kubectl, *_ingress_service(kubectl)) as forwarded:
        yield Cluster(kubectl, _program("helm"), names, forwarded, remove)


@contextmanager
def port_forward(kubectl: Kubectl, namespace: str, service: str) -> Iterator[str]:
    """The URL on this machine that leads to port 80 of a Service, while the block runs."""
    arguments = kubectl.within(namespace).command("port-forward", f"service/{service}", ":80")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            first = process.stdout.readline() if process.stdout else ""
            found = re.search(r"127\.0\.0\.1:(\d+)", first)
            if not found:
                raise StepFailed(
                    f"kubectl port-forward to service/{service} in {namespace} did not start: {first.strip()}"
                )
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()


def _ingress_service(kubectl: Kubectl) -> tuple[str, str]:
    """Namespace and name of the Ingress controller's Service: INGRESS_SERVICE, or the first that looks like one."""
    named = os.environ.get("INGRESS_SERVICE", "")
    if named:
        namespace, _, name = named.partition("/")
        return namespace, name
    services = kubectl.items("services", "--all-namespaces")
    for service in services:
        ports = {port["port"] for port in service["spec"].get("ports", [])}
        labels = {**service["metadata"].get("labels", {}), **(service["spec"].get("selector") or {})}
        if labels.get("app.kubernetes.io/name") in {"traefik", "ingress-nginx"} and 80 in ports:
            return service["metadata"]["namespace"], service["metadata"]["name"]
    raise StepFailed(
        "No Service of Traefik or ingress-nginx with port 80 was found. Name the Ingress controller's own: "
        "INGRESS_SERVICE=NAMESPACE/NAME, or its address: INGRESS_URL=http://HOST."
    )


def _kubeconfig() -> Path:
    path = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    if not path.exists():
        raise StepFailed(f"CLUSTER=existing needs a kubeconfig, but there is no {path}. Set KUBECONFIG.")
    return path


def _setting(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise StepFailed(f"CLUSTER=existing needs {name}: the name by which the cluster's nodes can pull that image.")
    return value


def _program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise StepFailed(f"This cluster needs the program '{name}' on the PATH.")
    return found
