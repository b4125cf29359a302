"""Where a call comes from: the peer, or what a configured proxy says of it."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from litestar.connection import ASGIConnection

AnyConnection = ASGIConnection[Any, Any, Any, Any]
Network = IPv4Network | IPv6Network


def read_address(peer: str, forwarded_for: str | None, proxies: Sequence[Network]) -> str:
    """The client's address. `X-Forwarded-For` is read from its end for as long as the hops are trusted proxies."""
    address = peer
    hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
    while hops and is_trusted(address, proxies) and _parse(hops[-1]):
        address = hops.pop()
    return address


def address_of(connection: AnyConnection, proxies: Sequence[Network]) -> str:
    """The client's address of a call. Several lines of the header are one list (RFC 9110, 5.3): some proxies add a line below the sender's."""
    peer = connection.client.host if connection.client else ""
    return read_address(peer, ",".join(connection.headers.getall("x-forwarded-for", [])), proxies)


def household(address: str) -> str:
    """What one person can have many of counts as one: an IPv6 address stands for its /64 (RFC 6177), IPv4 for itself."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(IPv6Network((parsed, 64), strict=False))
    return address


def is_loopback(address: str) -> bool:
    """Whether the call comes from this machine itself."""
    parsed = _parse(address)
    return parsed is not None and parsed.is_loopback


def is_trusted(address: str, proxies: Sequence[Network]) -> bool:
    """Whether the call comes by one of our proxies."""
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in proxies)


@lru_cache(maxsize=1024)  # a class comes from few addresses, and each call asks
def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None
