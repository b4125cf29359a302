"""Where a call comes from: the peer, or what a configured proxy says of it. Pure."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def read_address(peer: str, forwarded_for: str | None, proxies: Sequence[Network]) -> str:
    """The client's address. `X-Forwarded-For` is read from its end for as long as the hops are trusted proxies."""
    address = peer
    hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
    while hops and _is_in(address, proxies) and _parse(hops[-1]):
        address = hops.pop()
    return address


def is_loopback(address: str) -> bool:
    """Whether the call comes from this machine itself."""
    parsed = _parse(address)
    return parsed is not None and parsed.is_loopback


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None
