"""Who has which address and name: a pure plan that every other module reads.

One private /16, cut into parts. The host is reached at `.0.1`, the Ingress at `.0.80`. A machine can have several clusters
side by side, told apart by CRACKSEG_CLUSTER_NUMBER: the tests of the local cluster leave the user's alone.
"""

import os
from dataclasses import dataclass

NUMBER_VARIABLE = "CRACKSEG_CLUSTER_NUMBER"


@dataclass(frozen=True)
class Node:
    """One node: a network namespace with an address, and a range for its pods."""

    name: str
    namespace: str
    address: str
    pod_range: str
    pod_gateway: str

    @property
    def link(self) -> str:
        """The name of the node's cable in the switch's namespace."""
        return f"to-{self.name}"


def cluster_number(text: str) -> int:
    """The number of the cluster on this machine, 0 to 40; 0 when nothing is said."""
    number = int(text) if text.isdecimal() else 0
    return number if number <= 40 else 0


def cluster_name(number: int) -> str:
    """The word that begins the names of everything that a cluster makes on the machine."""
    return f"crackseg{number or ''}"


def plan_nodes(name: str, prefix: str) -> tuple[Node, ...]:
    """The two nodes of a cluster whose addresses begin with `prefix`."""
    return tuple(
        Node(
            name=f"node-{number}",
            namespace=f"{name}-node-{number}",
            address=f"{prefix}.0.{10 + number}",
            pod_range=f"{prefix}.{63 + number}.0/24",
            pod_gateway=f"{prefix}.{63 + number}.1",
        )
        for number in (1, 2)
    )


NUMBER = cluster_number(os.environ.get(NUMBER_VARIABLE, ""))
NAME = cluster_name(NUMBER)
_PREFIX = f"10.{213 + NUMBER}"
NETWORK = f"{_PREFIX}.0.0/16"
NODE_RANGE = f"{_PREFIX}.0.0/24"
SERVICE_RANGE = f"{_PREFIX}.16.0/20"
POD_RANGE = f"{_PREFIX}.64.0/18"
HOST_ADDRESS = f"{_PREFIX}.0.1"
INGRESS_ADDRESS = f"{_PREFIX}.0.80"
API_ADDRESS_IN_CLUSTER = f"{_PREFIX}.16.1"
DNS_ADDRESS = f"{_PREFIX}.16.10"
API_PORT = 6443
SWITCH_NAMESPACE = f"{NAME}-switch"
HOST_LINK = f"crackseg{NUMBER}"
NODES = plan_nodes(NAME, _PREFIX)
NAMESPACES = (SWITCH_NAMESPACE, *(node.namespace for node in NODES))
