"""The machine's part of the cluster's network: a switch and the nodes, each a network namespace, and one link on the host.

The switch has a namespace of its own so that no firewall rule of the host touches traffic between nodes, and kube-proxy's
rules stay inside the nodes. Used by `cluster` (up) and `teardown` (down).
"""

import contextlib
import ipaddress
import json
from collections.abc import Iterator
from pathlib import Path

from crackseg_local import addresses
from crackseg_local.addresses import NODES, SWITCH_NAMESPACE, Node
from crackseg_local.command import run, succeeds
from crackseg_local.errors import LocalClusterError

_NETNS = Path("/run/netns")
_IP = "ip"


def exists() -> bool:
    """Whether the whole network is there: the last step of building it leaves this route."""
    return bool(_routes(addresses.INGRESS_ADDRESS)) and all((_NETNS / name).exists() for name in addresses.NAMESPACES)


def create() -> None:
    """Build the network from nothing.

    Raises LocalClusterError where another network of the machine uses the same addresses.
    """
    _check_addresses_free()
    for name in addresses.NAMESPACES:
        run([_IP, "netns", "add", name])
    _switch()
    for node in NODES:
        _node(node)
    _host()


def remove() -> None:
    """Remove the namespaces and links; what is missing is passed over."""
    if succeeds([_IP, "link", "show", addresses.HOST_LINK]):
        run([_IP, "link", "delete", addresses.HOST_LINK])
    for name in addresses.NAMESPACES:
        path = _NETNS / name
        if path.exists() and not succeeds([_IP, "netns", "delete", name]):
            succeeds(["umount", "--lazy", path])
            path.unlink(missing_ok=True)


def leftovers() -> list[str]:
    """What of the network is on the machine, by name."""
    found = [str(_NETNS / name) for name in addresses.NAMESPACES if (_NETNS / name).exists()]
    if succeeds([_IP, "link", "show", addresses.HOST_LINK]):
        found.append(addresses.HOST_LINK)
    return found


def inside(namespace: str) -> list[str]:
    """The prefix that starts a program inside a namespace, with the machine's own mounts (cgroups among them)."""
    return ["nsenter", f"--net={_NETNS / namespace}"]


def other_networks(routes: list[dict[str, str]]) -> Iterator[str]:
    """The routes of the machine that overlap the cluster's addresses and are not the cluster's."""
    ours = ipaddress.ip_network(addresses.NETWORK)
    for route in routes:
        with contextlib.suppress(ValueError):
            network = ipaddress.ip_network(route["dst"])
            if network.overlaps(ours) and network.prefixlen > 0 and route.get("dev") != addresses.HOST_LINK:
                yield f"{route['dst']} ({route.get('dev', '?')})"


def _check_addresses_free() -> None:
    taken = list(other_networks(_routes()))
    if taken:
        raise LocalClusterError(
            f"The local cluster needs the addresses {addresses.NETWORK}, and this machine uses them for "
            f"{', '.join(taken)}. Choose others with {addresses.NUMBER_VARIABLE}=N: the addresses are then 10.(213+N).0.0/16."
        )


def _routes(address: str = "") -> list[dict[str, str]]:
    printed = run([_IP, "-json", "-4", "route", "show", *([address] if address else [])])
    routes: list[dict[str, str]] = json.loads(printed or "[]")
    return routes


def _batch(namespace: str, commands: list[str]) -> None:
    """Run several `ip` commands at once, inside a namespace."""
    run([_IP, "-netns", namespace, "-batch", "-"], stdin="\n".join(commands) + "\n")


def _switch() -> None:
    _batch(SWITCH_NAMESPACE, ["link set lo up", "link add switch type bridge", "link set switch up"])
    _sysctl(SWITCH_NAMESPACE, {"net/bridge/bridge-nf-call-iptables": "0"})


def _node(node: Node) -> None:
    _batch(
        SWITCH_NAMESPACE,
        [
            f"link add {node.link} type veth peer name eth0 netns {node.namespace}",
            f"link set {node.link} master switch",
            f"link set {node.link} up",
        ],
    )
    _batch(
        node.namespace,
        [
            "link set lo up",
            f"address add {node.address}/24 dev eth0",
            "link set eth0 up",
            *(f"route add {other.pod_range} via {other.address}" for other in NODES if other != node),
        ],
    )
    _sysctl(
        node.namespace,
        {
            "net/ipv4/ip_forward": "1",
            "net/ipv4/conf/all/rp_filter": "0",
            "net/ipv4/conf/default/rp_filter": "0",
            "net/bridge/bridge-nf-call-iptables": "1",
        },
    )


def _host() -> None:
    """The host's one link, and its routes: to pods at their nodes, to services and the Ingress through the first node."""
    first = NODES[0]
    link = addresses.HOST_LINK
    run([_IP, "link", "add", link, "type", "veth", "peer", "name", "to-host", "netns", SWITCH_NAMESPACE])
    _batch(SWITCH_NAMESPACE, ["link set to-host master switch", "link set to-host up"])
    commands = [
        f"address add {addresses.HOST_ADDRESS}/24 dev {link}",
        f"link set {link} up",
        *(f"route add {node.pod_range} via {node.address}" for node in NODES),
        f"route add {addresses.SERVICE_RANGE} via {first.address}",
        f"route add {addresses.INGRESS_ADDRESS}/32 via {first.address}",
    ]
    run([_IP, "-batch", "-"], stdin="\n".join(commands) + "\n")


def _sysctl(namespace: str, values: dict[str, str]) -> None:
    """Set kernel values of a namespace; one that this kernel does not have is passed over."""
    script = "\n".join(f"[ ! -e /proc/sys/{key} ] || echo {value} > /proc/sys/{key}" for key, value in values.items())
    run([*inside(namespace), "sh", "-ec", script])
