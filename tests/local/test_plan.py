"""The address plan and the configuration that is made from it."""

from __future__ import annotations

import ipaddress
import json
import tomllib
from pathlib import Path

import pytest

from crackseg_local import addresses, cgroups, components, nodeconfig
from crackseg_local.addresses import NODES
from crackseg_local.components import Certificates, Endpoint
from crackseg_local.network import other_networks
from crackseg_local.paths import NodeFolder
from crackseg_local.pki import Authority, Pair

FOLDERS = {node.name: NodeFolder(Path("/state/nodes") / node.name) for node in NODES}


def test_no_two_ranges_of_the_plan_overlap():
    ranges = [addresses.NODE_RANGE, addresses.SERVICE_RANGE, *(node.pod_range for node in NODES)]
    networks = [ipaddress.ip_network(text) for text in ranges]
    overlapping = [(a, b) for a in networks for b in networks if a != b and a.overlaps(b)]
    assert overlapping == []
    assert all(network.subnet_of(ipaddress.ip_network(addresses.NETWORK)) for network in networks)


def test_every_address_lies_in_its_range_and_is_used_once():
    nodes = ipaddress.ip_network(addresses.NODE_RANGE)
    fixed = [addresses.HOST_ADDRESS, addresses.INGRESS_ADDRESS, *(node.address for node in NODES)]
    assert all(ipaddress.ip_address(address) in nodes for address in fixed)
    assert len(set(fixed)) == len(fixed)
    services = ipaddress.ip_network(addresses.SERVICE_RANGE)
    assert {ipaddress.ip_address(a) in services for a in (addresses.DNS_ADDRESS, addresses.API_ADDRESS_IN_CLUSTER)} == {
        True
    }
    for node in NODES:
        assert ipaddress.ip_address(node.pod_gateway) in ipaddress.ip_network(node.pod_range)
        assert ipaddress.ip_network(node.pod_range).subnet_of(ipaddress.ip_network(addresses.POD_RANGE))


@pytest.mark.parametrize(
    ("text", "number", "name"),
    [
        pytest.param("", 0, "crackseg", id="nothing said means the user's own cluster"),
        pytest.param("7", 7, "crackseg7", id="a number makes another cluster"),
        pytest.param("seven", 0, "crackseg", id="a word is no number"),
        pytest.param("41", 0, "crackseg", id="a number beyond the private range is not taken"),
    ],
)
def test_the_cluster_number_chooses_the_names(text, number, name):
    assert addresses.cluster_number(text) == number
    assert addresses.cluster_name(number) == name


def test_link_names_fit_the_kernel():
    assert all(len(name) <= 15 for name in (addresses.HOST_LINK, *(node.link for node in NODES)))


@pytest.mark.parametrize(
    ("destination", "device", "clashes"),
    [
        pytest.param("default", "eth0", False, id="the default route is nobody's network"),
        pytest.param("0.0.0.0/0", "eth0", False, id="the default route by its number"),
        pytest.param("192.168.1.0/24", "eth0", False, id="another network does not clash"),
        pytest.param(f"{addresses.NETWORK[:-7]}.7.0/24", "docker0", True, id="a part of the plan clashes"),
        pytest.param("10.0.0.0/8", "wg0", True, id="a wider network clashes"),
        pytest.param(addresses.NODE_RANGE, addresses.HOST_LINK, False, id="the cluster's own route does not clash"),
    ],
)
def test_a_network_of_the_machine_that_overlaps_is_found(destination, device, clashes):
    assert bool(list(other_networks([{"dst": destination, "dev": device}]))) is clashes


def test_the_runtimes_configuration_is_toml_and_keeps_to_the_nodes_folder():
    for folder in FOLDERS.values():
        parsed = tomllib.loads(nodeconfig.containerd(folder))
        cri = parsed["plugins"]["io.containerd.grpc.v1.cri"]
        runc = cri["containerd"]["runtimes"]["runc"]["options"]
        paths = [parsed["root"], parsed["state"], parsed["grpc"]["address"], cri["cni"]["conf_dir"], runc["Root"]]
        assert all(Path(path).is_relative_to(folder.root) for path in paths)
        assert cri["restrict_oom_score_adj"] is True, "without CAP_SYS_RESOURCE no sandbox starts otherwise"
        assert cri["netns_mounts_under_state_dir"] is True, "down finds the pods' namespaces below the state folder"


def test_two_kubelets_share_no_folder_and_delete_no_images():
    authority, resolv = Path("/state/ca.crt"), Path("/state/resolv.conf")
    configs = [json.loads(nodeconfig.kubelet(node, FOLDERS[node.name], authority, resolv)) for node in NODES]
    for key in ("podLogsDir", "cgroupRoot", "containerRuntimeEndpoint", "address", "volumePluginDir"):
        assert configs[0][key] != configs[1][key], key
    assert {config["imageGCHighThresholdPercent"] for config in configs} == {100}
    assert {config["authentication"]["anonymous"]["enabled"] for config in configs} == {False}


def test_pods_get_addresses_of_their_nodes_range():
    for node in NODES:
        bridge = json.loads(nodeconfig.pod_network(node, FOLDERS[node.name]))["plugins"][0]
        assert bridge["ipam"]["ranges"] == [[{"subnet": node.pod_range, "gateway": node.pod_gateway}]]
        assert bridge["ipMasq"] is False


def test_the_api_server_checks_rights_and_writes_an_audit_log():
    pair = Pair(Path("c"), Path("k"))
    certificates = Certificates(Authority(Path("/pki")), pair, pair, pair)
    command = components.apiserver(
        Path("kube-apiserver"), Endpoint("127.0.0.1", 1, "10.0.0.0/24"), certificates, Path("/s")
    )
    assert "--authorization-mode=Node,RBAC" in command
    assert "--audit-log-path=/s/audit.log" in command
    assert not any(word.startswith("--anonymous-auth=true") for word in command)


def test_cgroup_hierarchies_are_read_from_the_mount_table():
    table = (
        "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n"
        "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
        "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
        "cgroup /elsewhere/cpu cgroup rw,cpu 0 0\n"
    )
    assert cgroups.hierarchies(table) == [Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/unified")]
    assert cgroups.hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n") == [Path("/sys/fs/cgroup")]
