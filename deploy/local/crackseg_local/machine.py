"""What the local cluster asks of the machine: Linux, root, and a kernel with the parts that containers need.

Used by `up` before anything is changed.
"""

import os
import sys
from pathlib import Path

from crackseg_local.command import succeeds
from crackseg_local.errors import LocalClusterError

_OTHER_WAYS = "Or use another cluster: CLUSTER=kind (Docker and kind) or CLUSTER=existing (a kubeconfig)."
_MODULES = ("br_netfilter", "overlay", "veth")


def check() -> None:
    """Raise LocalClusterError, with the remedy, when the cluster cannot run here."""
    if not sys.platform.startswith("linux"):
        raise LocalClusterError(f"The local cluster needs Linux; this machine is {sys.platform}. {_OTHER_WAYS}")
    if os.geteuid() != 0:
        raise LocalClusterError(
            "The local cluster makes network namespaces and mounts, so it must be root. Run: sudo make cluster. "
            f"{_OTHER_WAYS}"
        )
    for module in _MODULES:
        succeeds(["modprobe", module])
    if not Path("/proc/sys/net/bridge").exists():
        raise LocalClusterError(f"The kernel has no br_netfilter, which Services need. {_OTHER_WAYS}")
    if "\toverlay" not in Path("/proc/filesystems").read_text():
        raise LocalClusterError(f"The kernel has no overlay file system, which containers need. {_OTHER_WAYS}")


def boot() -> str:
    """A name for the time since the machine was started: processes, mounts and namespaces do not outlive it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
