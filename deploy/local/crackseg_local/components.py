"""The command lines of the control plane's programs: pure, from addresses and files to arguments.

Used by `controlplane` (alone, for API tests) and by `cluster` (with nodes). What differs between both is in `Endpoint`.
"""

from dataclasses import dataclass
from pathlib import Path

from crackseg_local.pki import Authority, Pair

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None  # questions about rights are asked with a create, and change nothing
    resources: [{group: authentication.k8s.io}, {group: authorization.k8s.io}]
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
  - level: Metadata
    resources: [{group: "", resources: [secrets]}]
  - level: None
"""


@dataclass(frozen=True)
class Endpoint:
    """Where the API server listens, and the range that services get their addresses from."""

    address: str
    port: int
    service_range: str

    @property
    def url(self) -> str:
        """The API server's address for a kubeconfig."""
        return f"https://{self.address}:{self.port}"


@dataclass(frozen=True)
class Certificates:
    """What the API server shows and trusts."""

    authority: Authority
    serving: Pair
    kubelet_client: Pair
    aggregator: Pair


def etcd_url(folder: Path) -> str:
    """Etcd listens on a Unix socket: no port to collide on, and no other user of the machine reads the Secrets."""
    return f"unix://{folder}/etcd.sock"


def etcd(program: Path, folder: Path) -> tuple[str, ...]:
    """The database. It is thrown away with the cluster, so it need not wait for the disk.

    A member must advertise a host and a port; nobody asks for it, and nothing listens there.
    """
    url = etcd_url(folder)
    advertised = "http://127.0.0.1:2380"
    return (
        str(program),
        "--name=crackseg",
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={advertised}",
        f"--listen-peer-urls=unix://{folder}/peer.sock",
        f"--initial-advertise-peer-urls={advertised}",
        f"--initial-cluster=crackseg={advertised}",
        "--unsafe-no-fsync",
        "--auto-compaction-retention=1h",
        "--quota-backend-bytes=1073741824",
        "--log-level=warn",
    )


def apiserver(program: Path, endpoint: Endpoint, certificates: Certificates, folder: Path) -> tuple[str, ...]:
    """The API server, with RBAC, an audit log and the aggregation layer; `folder` holds what it reads and writes."""
    authority = certificates.authority
    return (
        str(program),
        f"--advertise-address={endpoint.address}",
        f"--bind-address={endpoint.address}",
        f"--secure-port={endpoint.port}",
        f"--etcd-servers={etcd_url(folder)}",
        f"--service-cluster-ip-range={endpoint.service_range}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={authority.pair.certificate}",
        f"--tls-cert-file={certificates.serving.certificate}",
        f"--tls-private-key-file={certificates.serving.key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={authority.service_account_key}",
        f"--service-account-signing-key-file={authority.service_account_key}",
        f"--kubelet-client-certificate={certificates.kubelet_client.certificate}",
        f"--kubelet-client-key={certificates.kubelet_client.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={authority.pair.certificate}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={certificates.aggregator.certificate}",
        f"--proxy-client-key-file={certificates.aggregator.key}",
        "--enable-aggregator-routing=true",
        f"--audit-policy-file={folder / 'audit-policy.yaml'}",
        f"--audit-log-path={folder / 'audit.log'}",
        "--profiling=false",
        "--v=1",
    )


def controller_manager(program: Path, kubeconfig: Path, authority: Authority) -> tuple[str, ...]:
    """The controllers: garbage collection, Deployments, Jobs, autoscalers. Quicker than a large cluster would have it."""
    return (
        str(program),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--secure-port=0",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={authority.service_account_key}",
        f"--root-ca-file={authority.pair.certificate}",
        f"--cluster-signing-cert-file={authority.pair.certificate}",
        f"--cluster-signing-key-file={authority.pair.key}",
        "--horizontal-pod-autoscaler-sync-period=5s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=10s",
        "--horizontal-pod-autoscaler-downscale-stabilization=30s",
        "--node-monitor-grace-period=20s",
        f"--flex-volume-plugin-dir={kubeconfig.parent / 'flexvolume'}",
        "--profiling=false",
        "--v=1",
    )


def scheduler(program: Path, kubeconfig: Path) -> tuple[str, ...]:
    """The scheduler."""
    return (
        str(program),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--secure-port=0",
        "--leader-elect=false",
        "--profiling=false",
        "--v=1",
    )


def kwok(program: Path, kubeconfig: Path, port: int) -> tuple[str, ...]:
    """Simulated nodes and pods: every node is kwok's."""
    return (
        str(program),
        f"--kubeconfig={kubeconfig}",
        "--manage-all-nodes=true",
        "--node-lease-duration-seconds=40",
        f"--server-address=127.0.0.1:{port}",
    )
