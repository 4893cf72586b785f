"""Who has which address and name: a pure plan that every other module reads.

One private /16, cut into parts. The host is reached at `.0.1`, the Ingress at `.0.80`.
"""

from dataclasses import dataclass

NETWORK = "10.213.0.0/16"
NODE_RANGE = "10.213.0.0/24"
SERVICE_RANGE = "10.213.16.0/20"
POD_RANGE = "10.213.64.0/18"
HOST_ADDRESS = "10.213.0.1"
INGRESS_ADDRESS = "10.213.0.80"
API_ADDRESS_IN_CLUSTER = "10.213.16.1"
DNS_ADDRESS = "10.213.16.10"
API_PORT = 6443
SWITCH_NAMESPACE = "crackseg-switch"
HOST_LINK = "crackseg0"


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


NODES = tuple(
    Node(
        name=f"node-{number}",
        namespace=f"crackseg-node-{number}",
        address=f"10.213.0.{10 + number}",
        pod_range=f"10.213.{63 + number}.0/24",
        pod_gateway=f"10.213.{63 + number}.1",
    )
    for number in (1, 2)
)
NAMESPACES = (SWITCH_NAMESPACE, *(node.namespace for node in NODES))
