"""The cgroup folders that the nodes' containers live in, on machines with cgroup v1, v2 or both.

Used by `node` (start) and `teardown` (down). It makes and removes folders below `/sys/fs/cgroup`, no others.
"""

import contextlib
from pathlib import Path

from crackseg_local import addresses
from crackseg_local.addresses import NODES

_CGROUPS = Path("/sys/fs/cgroup")


def hierarchies(mounts: str) -> list[Path]:
    """The mount points of the cgroup hierarchies in the text of /proc/mounts."""
    found = []
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split()
        if kind in {"cgroup", "cgroup2"} and Path(point).is_relative_to(_CGROUPS):
            found.append(Path(point))
    return sorted(set(found))


def node_path(node: str) -> str:
    """A node's folder, as the kubelet's `cgroupRoot` names it."""
    return f"/{addresses.NAME}/{node}"


def create() -> None:
    """Make the nodes' folders in every hierarchy; a cpuset starts empty and gets its parent's processors first."""
    for hierarchy in _mounted():
        for folder in (hierarchy / addresses.NAME, *(hierarchy / addresses.NAME / node.name for node in NODES)):
            folder.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                target = folder / name
                if (hierarchy / "cgroup.controllers").exists() or not target.exists() or target.read_text().strip():
                    continue
                target.write_text((folder.parent / name).read_text())


def processes() -> list[int]:
    """Every process in these folders: the containers' own, which carry no mark."""
    pids: set[int] = set()
    for root in _roots():
        for listing in root.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                pids.update(int(pid) for pid in listing.read_text().split())
    return sorted(pids)


def remove() -> None:
    """Remove the folders, deepest first; one that is still busy stays, and `leftovers` names it."""
    for root in _roots():
        folders = [folder for folder in root.rglob("*") if folder.is_dir()]
        for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        with contextlib.suppress(OSError):
            root.rmdir()


def leftovers() -> list[str]:
    """The folders that are on the machine."""
    return [str(root) for root in _roots()]


def _mounted() -> list[Path]:
    return hierarchies(Path("/proc/mounts").read_text())


def _roots() -> list[Path]:
    return [hierarchy / addresses.NAME for hierarchy in _mounted() if (hierarchy / addresses.NAME).is_dir()]
