"""Installing the operator with helm, as a user does."""

from __future__ import annotations

import subprocess

from crackseg_demo.clusters import REPOSITORY, Cluster
from crackseg_demo.terminal import StepFailed

NAMESPACE = "crackseg-system"
RELEASE = "crackseg-operator"
CHART = REPOSITORY / "deploy" / "helm" / "crackseg-operator"


def helm_command(cluster: Cluster) -> list[str]:
    """The command that installs or upgrades the operator."""
    return [
        "upgrade",
        "--install",
        RELEASE,
        str(CHART.relative_to(REPOSITORY)),
        f"--namespace={NAMESPACE}",
        "--create-namespace",
        *_image("image", cluster.images.operator),
        *_image("serving.image", cluster.images.serving),
        *([f"--set=podAnnotations.build={cluster.images.build}"] if cluster.images.build else []),
        "--wait",
        "--timeout=300s",
    ]


def _image(path: str, reference: str) -> list[str]:
    repository, _, tag = reference.rpartition(":")
    return [f"--set={path}.repository={repository}", f"--set={path}.tag={tag}"]


def install_operator(cluster: Cluster) -> None:
    """Install or upgrade the operator with its CRD, and wait until it is ready; raises StepFailed."""
    ended = subprocess.run(
        [cluster.helm, f"--kubeconfig={cluster.kubectl.kubeconfig}", *helm_command(cluster)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        seen = cluster.kubectl.within(NAMESPACE).attempt("get", "pods,events").stdout
        raise StepFailed(f"helm could not install the operator: {ended.stderr.strip()}\n{seen}")
