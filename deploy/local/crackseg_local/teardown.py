"""Taking the cluster away so that the machine is as before, from whatever state it is in.

Used by `down`, and by `up` when it finds something that it cannot go on with. It needs no running process, no pid file
and no checkout that knows what was started: the marks of the processes and the names on the machine are enough.
"""

import contextlib
import shutil
import signal
import time
from pathlib import Path

from crackseg_local import addresses, cgroups, network, processes
from crackseg_local.command import run, succeeds
from crackseg_local.errors import LocalClusterError
from crackseg_local.paths import State
from crackseg_local.progress import say

_FIRST = ("kubelet", "kube-proxy", "kube-controller", "kube-scheduler")
_CGROUP_SECONDS = 10.0


def down(state: State) -> None:
    """Remove the cluster; nothing happens where there is none."""
    if not leftovers(state):
        return
    _stop_processes(state)
    shim_sockets = _shim_sockets(state)
    _unmount(state)
    network.remove()
    _remove_cgroups()
    _remove_files(state, shim_sockets)
    left = leftovers(state)
    if left:
        raise LocalClusterError(
            f"These could not be removed: {', '.join(left[:8])}. Run the command again; if it stays, restart the machine."
        )


def leftovers(state: State) -> list[str]:
    """What of a cluster is on the machine: processes, mounts, namespaces, links, cgroup folders, files."""
    found = [f"process {pid}" for pid in processes.find_all(state.root)]
    found += [f"mount {point}" for point in mounts_below(state.root)]
    found += [f"network {name}" for name in network.leftovers()]
    found += [f"cgroup {path}" for path in cgroups.leftovers()]
    return found + ([f"folder {state.root}"] if state.root.exists() else [])


def mounts_below(root: Path, mounts: str = "") -> list[Path]:
    """The mount points below a folder, deepest first, from the text of /proc/mounts."""
    text = mounts or Path("/proc/mounts").read_text()
    points = (Path(line.split()[1].encode().decode("unicode_escape")) for line in text.splitlines())
    return sorted({p for p in points if p.is_relative_to(root)}, key=lambda path: len(path.parts), reverse=True)


def _stop_processes(state: State) -> None:
    """Controllers and kubelets first, so that nobody starts anew what is being stopped; then everything else."""
    everything = processes.find_all(state.root)
    say(f"stopping {len(everything)} processes")
    first = [pid for pid in everything if _command_name(pid).startswith(_FIRST)]
    processes.stop_all(first, state.root, patience_seconds=2.0)
    for _ in range(3):
        for pid in cgroups.processes():
            processes.send(pid, signal.SIGKILL)
        processes.stop_all(processes.find_all(state.root), state.root, patience_seconds=2.0)
        if not processes.find_all(state.root) and not cgroups.processes():
            return
        time.sleep(0.1)


def _command_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _shim_sockets(state: State) -> list[Path]:
    """The sockets that the containers' shims keep outside the state folder; the shims' folders name them."""
    found = []
    for address in state.root.glob("nodes/*/run/io.containerd.runtime.v2.task/k8s.io/*/address"):
        with contextlib.suppress(OSError):
            found.append(Path(address.read_text().removeprefix("unix://")))
    return found


def _unmount(state: State) -> None:
    for point in mounts_below(state.root):
        succeeds(["umount", "--lazy", point])


def _remove_cgroups() -> None:
    def removed() -> bool:
        cgroups.remove()
        return not cgroups.leftovers()

    processes.wait_until(removed, _CGROUP_SECONDS)


def _remove_files(state: State, shim_sockets: list[Path]) -> None:
    """Remove the state folder, never through a mount."""
    still = mounts_below(state.root)
    if still:
        raise LocalClusterError(
            f"{still[0]} is still mounted, so {state.root} is not deleted. See who uses it: fuser -vm"
        )
    _remove_strays(state, shim_sockets)
    if state.root.exists():
        shutil.rmtree(state.root, ignore_errors=True)
    if state.root.exists():
        run(["rm", "-rf", "--one-file-system", state.root])


def _remove_strays(state: State, shim_sockets: list[Path]) -> None:
    """Remove what the programs wrote at places that they do not let us choose."""
    for socket in shim_sockets:
        if socket.is_relative_to("/run/containerd/s"):
            socket.unlink(missing_ok=True)
    results = Path("/var/lib/cni/results")
    for result in list(results.glob(f"{addresses.NAME}-*-eth0")):
        sandbox = result.name.removeprefix(f"{addresses.NAME}-").removesuffix("-eth0")
        for file in results.glob(f"*-{sandbox}-*"):
            file.unlink(missing_ok=True)
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(state.root):
            link.unlink()
