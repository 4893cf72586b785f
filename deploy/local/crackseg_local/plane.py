"""The processes of one control plane and the identities that it gives out, for a folder and an address.

Used by `controlplane` (on loopback, for API tests) and `cluster` (with nodes). It starts nothing by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crackseg_local import components, files, kubeconfig
from crackseg_local.components import Certificates, Endpoint
from crackseg_local.pki import Authority
from crackseg_local.processes import Process

ADMIN = "crackseg-admin"


@dataclass(frozen=True)
class Plane:
    """etcd, API server, controllers and scheduler of one folder."""

    folder: Path
    bin: Path
    endpoint: Endpoint
    hosts: tuple[str, ...]

    @property
    def authority(self) -> Authority:
        """Signs everybody's certificates."""
        return Authority(self.folder / "pki")

    def prepare(self) -> Path:
        """Make the keys and the audit policy, and return the administrator's kubeconfig."""
        self.authority.ensure()
        files.write(self.folder / "audit-policy.yaml", components.AUDIT_POLICY)
        return self.user_kubeconfig(ADMIN, ["system:masters"], name="kubeconfig")

    @property
    def etcd(self) -> Process:
        """The database."""
        return self._process("etcd", components.etcd(self.bin / "etcd", self.folder))

    @property
    def apiserver(self) -> Process:
        """The API server."""
        authority = self.authority
        certificates = Certificates(
            authority,
            authority.server("apiserver", self.hosts),
            authority.client("apiserver-kubelet", "kube-apiserver-kubelet-client", ["system:masters"]),
            authority.client("front-proxy-client", "front-proxy-client"),
        )
        program = self.bin / "kube-apiserver"
        return self._process("kube-apiserver", components.apiserver(program, self.endpoint, certificates, self.folder))

    @property
    def controller_manager(self) -> Process:
        """The controllers."""
        config = self.user_kubeconfig("system:kube-controller-manager")
        program = self.bin / "kube-controller-manager"
        return self._process("kube-controller-manager", components.controller_manager(program, config, self.authority))

    @property
    def scheduler(self) -> Process:
        """The scheduler."""
        config = self.user_kubeconfig("system:kube-scheduler")
        return self._process("kube-scheduler", components.scheduler(self.bin / "kube-scheduler", config))

    def core(self) -> tuple[Process, Process]:
        """What has to run before anything can be asked: etcd and the API server."""
        return self.etcd, self.apiserver

    def kwok(self, port: int) -> Process:
        """The simulator of nodes and pods."""
        config = self.user_kubeconfig("kwok", ["system:masters"])
        return self._process("kwok", components.kwok(self.bin / "kwok", config, port))

    def user_kubeconfig(self, user: str, groups: Sequence[str] = (), *, name: str = "") -> Path:
        """A kubeconfig of any user, by client certificate."""
        name = name or f"user-{user.replace(':', '-').replace('/', '-')}"
        return self.write_kubeconfig(name, kubeconfig.certificate_user(self.authority.client(name, user, groups)))

    def write_kubeconfig(self, name: str, user: dict[str, str]) -> Path:
        """A kubeconfig of a user who is known by what `user` says."""
        text = kubeconfig.render(self.endpoint.url, self.authority.pair.certificate, user)
        return kubeconfig.write(self.folder / name, text)

    def _process(self, name: str, command: tuple[str, ...]) -> Process:
        return Process(name, command, self.folder)
