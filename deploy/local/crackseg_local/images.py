"""Building the project's images with buildah, without Docker and without a registry, and loading them into the nodes.

Called by `__main__` (`images`, `load`) and the demo. The Dockerfiles are the project's own, unchanged; a tree that has not
changed builds nothing.
"""

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from crackseg_local import archive, baseimage, imagekey, packageindex, packages, teardown
from crackseg_local.command import run, succeeds
from crackseg_local.errors import LocalClusterError
from crackseg_local.lock import locked
from crackseg_local.node import NodePrograms
from crackseg_local.paths import cache_folder, repository_folder
from crackseg_local.progress import say, step


@dataclass(frozen=True)
class Image:
    """One image of the project: its name in the cluster, its Dockerfile and the target in it ('' for the last)."""

    name: str
    dockerfile: str
    target: str = ""

    @property
    def reference(self) -> str:
        """The whole name: what a pod's `image: NAME` means to the container runtime."""
        return f"docker.io/library/{self.name}"

    def archive(self, key: str) -> Path:
        """Where the image archive of one state of the tree lies."""
        return cache_folder() / "images" / f"{self.name.replace(':', '_')}-{key}.tar"


OPERATOR = Image("crackseg-operator:dev", "Dockerfile.operator")
SERVING_CPU = Image("crackseg-serving:dev", "Dockerfile.serving", target="cpu")
SERVING_GPU = Image("crackseg-serving:dev-gpu", "Dockerfile.serving")


def project_images(*, gpu: bool) -> tuple[Image, ...]:
    """The images that the cluster runs."""
    return (OPERATOR, SERVING_GPU if gpu else SERVING_CPU)


def build(image: Image, context: Path | None = None) -> Path:
    """The archive of the image for the tree as it is, built if need be.

    Raises LocalClusterError with the end of the build's output.
    """
    context = context or repository_folder()
    dockerfile = context / image.dockerfile
    if not dockerfile.exists():
        raise LocalClusterError(f"There is no {dockerfile}, so {image.name} cannot be built.")
    target = image.archive(imagekey.key(context, dockerfile, [image.target, baseimage.REFERENCE]))
    if target.exists():
        return target
    packages.ensure(packages.IMAGE_PROGRAMS)
    with locked(cache_folder() / "images.lock", "builds images"):
        base = baseimage.ensure()
        with step(f"building the image {image.name}"):
            try:
                _prepare(base)
                _build(image, context, target)
            finally:
                _unmount_storage()
    return target


def load(path_or_name: str, nodes: Sequence[NodePrograms]) -> None:
    """Put an image archive, or an image of buildah's by name, into every node at once."""
    path = Path(path_or_name)
    if path.is_file():
        load_archive(path, nodes)
        return
    with tempfile.TemporaryDirectory(prefix="crackseg-load-") as folder:
        exported = Path(folder) / "image.tar"
        name = path_or_name if "/" in path_or_name else f"docker.io/library/{path_or_name}"
        advice = f"'{path_or_name}' is neither a file nor an image that buildah has (see: buildah images)."
        run(["buildah", "push", path_or_name, f"docker-archive:{exported}:{name}"], advice=advice)
        load_archive(exported, nodes)


def load_archive(path: Path, nodes: Sequence[NodePrograms]) -> None:
    """Put an archive into every node at once; nodes that have its images already are left alone."""
    names = ", ".join(archive.contents(path))
    with ThreadPoolExecutor() as pool:
        imported = list(pool.map(lambda node: node.import_image(path), nodes))
    say(f"{names}: {'loaded into every node' if any(imported) else 'every node has it'}")


def _prepare(base: Path) -> None:
    """Put the base image into buildah's storage; a base that was made anew replaces the old one."""
    _storage().mkdir(parents=True, exist_ok=True)
    noted = _storage().parent / "base"
    wanted = archive.contents(base)[baseimage.REFERENCE]
    if (
        noted.exists()
        and noted.read_text() == wanted
        and succeeds([*_buildah(), "inspect", "--type=image", baseimage.REFERENCE])
    ):
        return
    run([*_buildah(), "pull", "--quiet", f"docker-archive:{base}"])
    noted.write_text(wanted)


def _build(image: Image, context: Path, target: Path) -> None:
    pip_cache = cache_folder() / "pip"
    pip_cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="crackseg-build-") as folder:
        mounts = [
            "--volume",
            f"{pip_cache}:/root/.cache/pip",
            *packageindex.build_mounts(packageindex.current(), Path(folder)),
        ]
        options = ["--isolation=chroot", "--pull-never", "--layers", "--format=docker", *mounts]
        if image.target:
            options.append(f"--target={image.target}")
        tag = ["--tag", image.reference, "--file", str(context / image.dockerfile)]
        run([*_buildah("nice", "-n", "5"), "build", *options, *tag, context])
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    run([*_buildah(), "push", "--quiet", image.reference, f"docker-archive:{unfinished}:{image.reference}"])
    for old in target.parent.glob(f"{image.name.replace(':', '_')}-[0-9a-f]*.tar"):
        old.unlink()
    unfinished.rename(target)


def _storage() -> Path:
    return cache_folder() / "buildah" / "storage"


def _buildah(*prefix: str) -> list[str | Path]:
    """Buildah with storage of our own: the user's images are not ours to fill or clean."""
    run_root = cache_folder() / "buildah" / "run"
    return [*prefix, "buildah", "--root", _storage(), "--runroot", run_root, "--storage-driver=overlay"]


def _unmount_storage() -> None:
    """Buildah leaves its storage mounted on itself."""
    for point in teardown.mounts_below(_storage().parent):
        succeeds(["umount", "--lazy", point])
