"""A kind cluster, for machines with Docker: created, given the images, and given the local cluster's own Ingress controller.

Called by `clusters` for CLUSTER=kind. Only the start differs from the local cluster; pytest-kind does it.
"""

from __future__ import annotations

import shutil
import string
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from crackseg_demo.kubectl import Kubectl
from crackseg_demo.terminal import StepFailed
from crackseg_local import othercluster, systemimages
from crackseg_local.errors import LocalClusterError

REPOSITORY = Path(__file__).resolve().parents[3]
_TRAEFIK = REPOSITORY / "deploy" / "local" / "manifests" / "traefik.yaml"


def start(tell: Callable[[str], None]) -> Kubectl:
    """The cluster `crackseg`, created if need be, with images and Ingress controller; raises StepFailed."""
    programs = {name: shutil.which(name) for name in ("docker", "kind", "kubectl")}
    missing = [name for name, path in programs.items() if not path]
    if missing:
        raise StepFailed(
            f"CLUSTER=kind needs {', '.join(missing)} on the PATH. Without Docker: CLUSTER=local (root on Linux)."
        )
    kubectl = Kubectl(str(programs["kubectl"]), REPOSITORY / "out" / "kind.kubeconfig")
    kubectl.kubeconfig.parent.mkdir(exist_ok=True)
    try:
        _create(Path(str(programs["kind"])), kubectl, tell)
    except (subprocess.CalledProcessError, LocalClusterError, OSError) as error:
        raise StepFailed(f"The kind cluster could not be made ready: {error}") from error
    return kubectl


def _create(kind: Path, kubectl: Kubectl, tell: Callable[[str], None]) -> None:
    from pytest_kind import KindCluster

    if othercluster.KIND_NAME in _run([str(kind), "get", "clusters"]).split():
        kubectl.kubeconfig.write_text(_run([str(kind), "get", "kubeconfig", f"--name={othercluster.KIND_NAME}"]))
    tell(f"creating the kind cluster {othercluster.KIND_NAME}, unless it is there")
    KindCluster(othercluster.KIND_NAME, kubectl.kubeconfig, kind_path=kind, kubectl_path=Path(kubectl.program)).create()
    tell("building the images with Docker and loading them")
    othercluster.load_images("kind", gpu=False)
    tell("starting Traefik")
    traefik = next(image for image in systemimages.addons() if image.name == "traefik")
    _run([str(kind), "load", "image-archive", f"--name={othercluster.KIND_NAME}", str(traefik.ensure())])
    node = f"{othercluster.KIND_NAME}-control-plane"
    words = {"IMAGE": traefik.reference, "SYSTEM_NODE": node, "INGRESS_ADDRESS": "the port-forward"}
    kubectl.apply(string.Template(_TRAEFIK.read_text()).substitute(words))
    kubectl.within("traefik")("rollout", "status", "deployment/traefik", "--timeout=300s")


def _run(arguments: Sequence[str]) -> str:
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
