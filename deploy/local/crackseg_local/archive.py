"""Image archives, as `docker save` writes them: made from one layer, and read for what they hold.

Used by the images of the system's pods, the base image and `load`. Nothing here starts a program.
"""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

from crackseg_local.errors import LocalClusterError

_EPOCH = "1970-01-01T00:00:00Z"


def write(target: Path, reference: str, layer: Path, config: dict[str, Any]) -> None:
    """Write an archive of one image with one layer; the file comes to its place whole or not at all.

    `config` is the image's configuration without its `rootfs`, which follows from the layer.
    """
    with layer.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest}"]}
    history = [{"created": _EPOCH, "created_by": "crackseg_local"}]
    encoded = json.dumps({**config, "created": _EPOCH, "rootfs": rootfs, "history": history}).encode()
    name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = json.dumps([{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]).encode()
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    with tarfile.open(unfinished, "w", format=tarfile.GNU_FORMAT) as archive:
        for entry_name, data in (("manifest.json", manifest), (name, encoded)):
            entry = tarfile.TarInfo(entry_name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        archive.add(layer, "layer.tar", filter=_anonymous)
    unfinished.rename(target)


def contents(path: Path) -> dict[str, str]:
    """The images in an archive: name -> id (the digest of the configuration).

    Raises LocalClusterError for a file that is not such an archive.
    """
    try:
        with tarfile.open(path) as archive:
            member = archive.extractfile("manifest.json")
            entries = json.load(member) if member else []
        return {name: entry["Config"] for entry in entries for name in entry["RepoTags"]}
    except (OSError, tarfile.TarError, KeyError, TypeError, ValueError) as wrong:
        raise LocalClusterError(
            f"{path} is not an image archive ({wrong}). Make one with: buildah push IMAGE docker-archive:FILE:NAME"
        ) from wrong


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry
