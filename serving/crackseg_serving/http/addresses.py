"""Which hosts and addresses an image may be fetched from: hosts that the operator named, at public addresses only.

Pure: it asks no network. Called by `fetching` for each URL, and for each address that a name resolves to.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address

#: The only public part of IPv6; mapped, translated (NAT64) and local addresses lie outside.
_PUBLIC: Final = ip_network("2000::/3")
#: Ranges that `is_global` accepts although they lead to other addresses, or to a cloud's own services.
_SPECIAL: Final = tuple(
    ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; one cloud has its metadata there
        "192.88.99.0/24",  # relays to IPv6
        "168.63.129.16/32",  # one cloud's metadata
        "2001::/23",  # protocol assignments, Teredo: holds an IPv4 address
        "2002::/16",  # 6to4: holds an IPv4 address
        "3fff::/20",  # documentation
    )
)


def parse(text: str) -> Address:
    """An address as the resolver writes it, possibly followed by a percent sign and an interface."""
    return ip_address(text.partition("%")[0])


def is_public(address: Address) -> bool:
    """Whether `address` is a public unicast address: not private, loopback, link-local, shared, multicast or translated."""
    if isinstance(address, IPv6Address) and address not in _PUBLIC:
        return False
    special = any(address.version == network.version and address in network for network in _SPECIAL)
    return address.is_global and not address.is_multicast and not special


def is_allowed(host: str, port: int, own_port: int, hosts: Iterable[str]) -> bool:
    """Whether `hosts` name `host` (lower case) at `port`; an entry without a port means `own_port`, that of the scheme.

    `*.example.org` stands for every name one label below, as in a certificate.
    """
    parent = host.partition(".")[2]
    names = {host, f"*.{parent}"} if parent else {host}
    wanted = {f"{name}:{port}" for name in names} | (names if port == own_port else set())
    return not wanted.isdisjoint(hosts)
