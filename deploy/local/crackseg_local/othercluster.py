"""The two other ways to a cluster: kind, where the user has Docker, and one that a kubeconfig names.

Called by `__main__` for CLUSTER=kind and CLUSTER=existing. Everything after the start is the same as with the local one.
"""

import os
import shutil
from pathlib import Path

from crackseg_local import images
from crackseg_local.command import run
from crackseg_local.errors import LocalClusterError
from crackseg_local.paths import repository_folder
from crackseg_local.progress import say, step

KINDS = ("local", "kind", "existing")
KIND_NAME = "crackseg"


def chosen() -> str:
    """The kind of cluster that CLUSTER asks for: `local` when it says nothing.

    Raises LocalClusterError for another word.
    """
    kind = os.environ.get("CLUSTER") or "local"
    if kind not in KINDS:
        raise LocalClusterError(f"CLUSTER={kind} is unknown. Use one of: {', '.join(KINDS)}")
    return kind


def up(kind: str) -> None:
    """Create the kind cluster unless it is there, or see that the existing one answers."""
    if kind == "existing":
        run([_program("kubectl"), "get", "--raw=/readyz"], advice="KUBECONFIG names no cluster that answers.")
        say("the cluster that KUBECONFIG names answers")
        return
    _program("docker")
    if KIND_NAME in run([_program("kind"), "get", "clusters"]).split():
        say("the kind cluster is there")
        return
    with step("creating a kind cluster"):
        run(["kind", "create", "cluster", f"--name={KIND_NAME}", "--wait=120s"], advice="Is Docker running?")


def down(kind: str) -> None:
    """Delete the kind cluster; an existing cluster is not ours to delete."""
    if kind == "existing":
        raise LocalClusterError("The cluster that KUBECONFIG names was not made here, so it is not taken down here.")
    run([_program("kind"), "delete", "cluster", f"--name={KIND_NAME}"])


def load_images(kind: str, *, gpu: bool) -> None:
    """Build the images with Docker and load them into kind; an existing cluster pulls them from a registry."""
    if kind == "existing":
        raise LocalClusterError(
            "Push the images to a registry that the cluster's nodes reach, and name them to Helm: "
            "--set image.repository=…; they are built by: docker build -f Dockerfile.operator ."
        )
    context = repository_folder()
    for image in images.project_images(gpu=gpu):
        target = [f"--target={image.target}"] if image.target else []
        with step(f"building {image.name} with Docker and loading it"):
            run(
                [_program("docker"), "build", *target, f"--tag={image.name}", f"--file={image.dockerfile}", "."],
                cwd=context,
            )
            run([_program("kind"), "load", "docker-image", image.name, f"--name={KIND_NAME}"])


def _program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise LocalClusterError(f"This kind of cluster needs '{name}' on the PATH. Without it: CLUSTER=local, as root.")
    return Path(found)
