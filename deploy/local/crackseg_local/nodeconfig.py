"""What a node's programs read: containerd's, the pod network's, the kubelet's and kube-proxy's configuration. Pure.

Used by `node`. Each unusual line says why it is there; most were learned the hard way on machines without systemd.
"""

import json
from pathlib import Path
from typing import Any

from crackseg_local import addresses, cgroups
from crackseg_local.addresses import Node
from crackseg_local.paths import NodeFolder

PAUSE_IMAGE = "crackseg.local/pause:local"
CNI_PLUGINS = "/usr/lib/cni"
PROXY_HEALTH_PORT = 10256


def containerd(folder: NodeFolder) -> str:
    """The container runtime's configuration (TOML).

    `restrict_oom_score_adj`: without CAP_SYS_RESOURCE no sandbox starts otherwise.
    `netns_mounts_under_state_dir` and runc's own `Root`: everything of this node below its own folder.
    """
    return f"""\
version = 2
root = "{folder.containerd_root}"
state = "{folder.containerd_state}"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
  address = "{folder.containerd_socket}"

[ttrpc]
  address = "{folder.containerd_socket}.ttrpc"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PLUGINS}"
  conf_dir = "{folder.cni_config}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  Root = "{folder.root / "runc"}"
  SystemdCgroup = false
"""


def pod_network(node: Node, folder: NodeFolder) -> str:
    """The pods' network: a bridge a node, addresses from the node's range, no address translation."""
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(folder.cni_data),
            "ranges": [[{"subnet": node.pod_range, "gateway": node.pod_gateway}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "1.0.0", "name": addresses.NAME, "plugins": [bridge, portmap]}, indent=1)


def kubelet(node: Node, folder: NodeFolder, authority: Path, resolv_conf: Path) -> str:
    """The kubelet's configuration.

    The collectors of images and the eviction have absolute or 1 % limits: on a machine whose disk is mostly full they
    would delete every image, the sandbox's own too, and no pod would start any more.
    """
    document: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "healthzBindAddress": "127.0.0.1",
        "containerRuntimeEndpoint": f"unix://{folder.containerd_socket}",
        "podLogsDir": str(folder.pod_logs),
        "volumePluginDir": str(folder.root / "flexvolume"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups.node_path(node.name),
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": ["pods"],
        "failSwapOn": False,
        "failCgroupV1": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": [addresses.DNS_ADDRESS],
        "resolvConf": str(resolv_conf),
        "authentication": _authentication(authority),
        "authorization": {"mode": "Webhook"},
        "rotateCertificates": False,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "evictionPressureTransitionPeriod": "10s",
        "nodeStatusUpdateFrequency": "5s",
        "nodeLeaseDurationSeconds": 20,
        "syncFrequency": "10s",
        "housekeepingInterval": "5s",
        "registryPullQPS": 50,
        "maxPods": 200,
        "shutdownGracePeriod": "0s",
    }
    return json.dumps(document, indent=1)


def _authentication(authority: Path) -> dict[str, Any]:
    """Who may ask the kubelet: whom the API server vouches for, or a certificate of the cluster's."""
    return {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": str(authority)},
    }


def proxy(node: Node, kubeconfig: Path) -> str:
    """kube-proxy's configuration; the machine's connection table is not ours to size."""
    document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": node.name,
        "bindAddress": node.address,
        "healthzBindAddress": f"127.0.0.1:{PROXY_HEALTH_PORT}",
        "metricsBindAddress": "127.0.0.1:10249",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": addresses.POD_RANGE,
        "detectLocalMode": "ClusterCIDR",
        "nodePortAddresses": ["primary"],
        "conntrack": {"maxPerCore": 0, "min": 0},
        "iptables": {"minSyncPeriod": "0s"},
    }
    return json.dumps(document, indent=1)


def resolv_conf() -> str:
    """What a pod with the node's own name resolution gets: the cluster has no way out, so there is nobody to ask."""
    return "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"
