"""One node: containerd, kubelet and kube-proxy in the node's network namespace.

Used by `cluster`. It writes the configuration, starts the programs and imports images; it knows nothing of what runs.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crackseg_local import archive, files, kubeconfig, network, nodeconfig, processes
from crackseg_local.addresses import Node
from crackseg_local.command import run, succeeds
from crackseg_local.errors import LocalClusterError
from crackseg_local.paths import NodeFolder, State
from crackseg_local.pki import Authority
from crackseg_local.processes import Process

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CONTAINERD_SECONDS = 30.0


@dataclass(frozen=True)
class NodePrograms:
    """The programs of one node and the files they read."""

    node: Node
    state: State
    bin: Path
    server: str

    @property
    def folder(self) -> NodeFolder:
        """Where everything of this node lies."""
        return self.state.node(self.node.name)

    @property
    def containerd(self) -> Process:
        """The container runtime."""
        return self._process("containerd", ["containerd", "--config", self.folder.root / "containerd.toml"])

    @property
    def kubelet(self) -> Process:
        """The node's agent."""
        folder = self.folder
        return self._process(
            "kubelet",
            [
                self.bin / "kubelet",
                f"--config={folder.root / 'kubelet.json'}",
                f"--kubeconfig={folder.root / 'kubelet.kubeconfig'}",
                f"--root-dir={folder.kubelet_root}",
                f"--cert-dir={folder.root / 'kubelet-pki'}",
                f"--hostname-override={self.node.name}",
                f"--node-ip={self.node.address}",
                "--v=1",
            ],
        )

    @property
    def proxy(self) -> Process:
        """The node's service addresses."""
        return self._process("kube-proxy", [self.bin / "kube-proxy", f"--config={self.folder.root / 'proxy.json'}"])

    def configure(self, authority: Authority) -> None:
        """Write every file that the programs read."""
        folder, name = self.folder, self.node.name
        for path in folder.folders():
            path.mkdir(parents=True, exist_ok=True)
        resolv_conf = folder.root / "resolv.conf"
        texts = {
            folder.root / "containerd.toml": nodeconfig.containerd(folder),
            folder.cni_config / "10-pods.conflist": nodeconfig.pod_network(self.node, folder),
            folder.root / "kubelet.json": nodeconfig.kubelet(
                self.node, folder, authority.pair.certificate, resolv_conf
            ),
            folder.root / "proxy.json": nodeconfig.proxy(self.node, folder.root / "proxy.kubeconfig"),
            resolv_conf: nodeconfig.resolv_conf(),
        }
        for path, text in texts.items():
            files.write(path, text)
        users = {
            "kubelet": authority.client(f"kubelet-{name}", f"system:node:{name}", ["system:nodes"]),
            "proxy": authority.client("kube-proxy", "system:kube-proxy"),
        }
        for who, pair in users.items():
            text = kubeconfig.render(self.server, authority.pair.certificate, kubeconfig.certificate_user(pair))
            kubeconfig.write(folder.root / f"{who}.kubeconfig", text)

    def start_containerd(self) -> None:
        """Start the container runtime and wait until it answers."""
        containerd = self.containerd
        containerd.start()
        answers = [*self._ctr(), "version"]
        what = f"containerd of {self.node.name} answers"
        processes.wait_for([containerd], lambda: succeeds(answers), what, _CONTAINERD_SECONDS)

    def missing_images(self, wanted: Mapping[str, str]) -> list[str]:
        """Which of these images (name -> id) this node does not have, or has from another build."""
        there = run([*self._ctr(), "images", "list", "--quiet"]).split()
        return [name for name, image in wanted.items() if name not in there or self._noted(name) != image]

    def import_image(self, path: Path) -> bool:
        """Put the images of an archive into this node's containerd; False when it has them already."""
        images = archive.contents(path)
        if not self.missing_images(images):
            return False
        run([*self._ctr(), "images", "import", path])
        for name, image in images.items():
            self._note(name).parent.mkdir(exist_ok=True)
            self._note(name).write_text(image)
        return True

    def _note(self, name: str) -> Path:
        """Where the id of an imported image is noted: containerd names images by another digest."""
        return self.folder.root / "images" / name.replace("/", "_")

    def _noted(self, name: str) -> str:
        return self._note(name).read_text() if self._note(name).exists() else ""

    def _ctr(self) -> list[str | Path]:
        return ["ctr", "--address", str(self.folder.containerd_socket), "--namespace", "k8s.io"]

    def _process(self, name: str, command: Sequence[str | Path]) -> Process:
        prefix = network.inside(self.node.namespace)
        path = (("PATH", f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"),)
        words = tuple(str(word) for word in (*prefix, *command))
        return Process(f"{name}-{self.node.name}", words, self.state.root, path)


def check_socket_path(state: State, node: Node) -> None:
    """A Unix socket's path has 107 characters at most.

    Raises LocalClusterError when the state folder lies too deep for that.
    """
    path = f"{state.node(node.name).containerd_socket}.ttrpc"
    if len(path) > 107:
        raise LocalClusterError(f"The path {path} is too long for a socket. Set XDG_STATE_HOME to a shorter folder.")
