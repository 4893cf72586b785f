"""Where the local cluster keeps things: built programs in the user's cache, everything that lives in the user's state.

Both belong to the machine and not to a checkout, so a second checkout finds what an earlier one left.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from crackseg_local import addresses


def cache_folder() -> Path:
    """The folder of what costs time to make again: programs, base images, downloaded wheels."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crackseg"


def state_folder() -> Path:
    """The folder of the running cluster; `down` removes it whole."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / addresses.NAME / "cluster"


def source_folder() -> Path:
    """`deploy/local` of the checkout that this package was started from."""
    return Path(__file__).resolve().parent.parent


def repository_folder() -> Path:
    """The root of the checkout: the build context of the images."""
    return source_folder().parent.parent


@dataclass(frozen=True)
class NodeFolder:
    """One node's folders: everything that its containerd, kubelet and kube-proxy write."""

    root: Path

    @property
    def containerd_socket(self) -> Path:
        """Kept short: a Unix socket's path has 107 characters at most."""
        return self.root / "cri.sock"

    @property
    def containerd_root(self) -> Path:
        """Images, snapshots and metadata."""
        return self.root / "containerd"

    @property
    def containerd_state(self) -> Path:
        """Running containers: root file systems, network namespaces, shims."""
        return self.root / "run"

    @property
    def kubelet_root(self) -> Path:
        """Pods' volumes and the kubelet's own records."""
        return self.root / "kubelet"

    @property
    def pod_logs(self) -> Path:
        """Containers' logs; two kubelets that share this folder delete each other's."""
        return self.root / "logs"

    @property
    def cni_config(self) -> Path:
        """The network configuration of this node's pods."""
        return self.root / "cni"

    @property
    def cni_data(self) -> Path:
        """The addresses that this node has given out."""
        return self.root / "addresses"

    def folders(self) -> tuple[Path, ...]:
        """Every folder that must exist before the node's programs start."""
        return (
            self.root,
            self.containerd_root,
            self.containerd_state,
            self.kubelet_root,
            self.pod_logs,
            self.cni_config,
            self.cni_data,
        )


@dataclass(frozen=True)
class State:
    """The layout of the state folder."""

    root: Path

    @property
    def pki(self) -> Path:
        """Keys, certificates and the kubeconfigs made from them."""
        return self.root / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.root / "kubeconfig"

    @property
    def etcd_data(self) -> Path:
        """The cluster's database."""
        return self.root / "etcd"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.root / "logs"

    @property
    def audit_log(self) -> Path:
        """Every write and every reading of a Secret, one JSON object a line."""
        return self.root / "audit.log"

    @property
    def pids(self) -> Path:
        """One pid file a process."""
        return self.root / "pids"

    @property
    def volumes(self) -> Path:
        """Folders of the hostPath volumes that the `volume` command makes."""
        return self.root / "volumes"

    @property
    def identity(self) -> Path:
        """What was started: the machine's boot, the configuration and the programs' versions."""
        return self.root / "identity.json"

    def node(self, name: str) -> NodeFolder:
        """The folders of one node."""
        return NodeFolder(self.root / "nodes" / name)
