"""Where a notification may go: no address that leads into this machine, this network or the cloud's metadata.

The name is resolved once and the connection goes to the address that was judged, so that no second answer of the name's server
can lead elsewhere.
"""

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import anyio

METADATA = frozenset({ip_address("169.254.169.254"), ip_address("fd00:ec2::254"), ip_address("fd00:ec2::253")})


class NotAllowed(Exception):
    """The sentence says why, without the address's path or query."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL taken apart, with the one address that is connected to."""

    scheme: str
    host: str
    port: int
    address: str
    target: str  # path and query

    @property
    def url(self) -> str:
        """The URL with the address in the name's place."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.scheme}://{address}:{self.port}{self.target}"

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        usual = {"https": 443, "http": 80}[self.scheme]
        return self.host if self.port == usual else f"{self.host}:{self.port}"


async def resolve(url: str, *, local: bool) -> Endpoint:
    """Raises NotAllowed, and OSError where the name is not known. `local` allows plain http and addresses of this network."""
    parts = urlsplit(url)
    host, scheme = parts.hostname or "", parts.scheme
    if scheme != "https" and not (local and scheme == "http"):
        raise NotAllowed("only https is allowed")
    port = parts.port or (443 if scheme == "https" else 80)
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ip_address(str(entry[4][0]).split("%", 1)[0]) for entry in found]
    for address in addresses:
        if refusal := refuse(address, local=local):
            raise NotAllowed(f"{host} leads to {refusal}")
    target = parts.path or "/"
    return Endpoint(scheme, host, port, str(addresses[0]), f"{target}?{parts.query}" if parts.query else target)


def refuse(address: IPv4Address | IPv6Address, *, local: bool) -> str:
    """Why nothing is sent to an address, or nothing. What is mapped into IPv6 is judged as what it is."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    if mapped:
        return refuse(mapped, local=local)
    if address in METADATA or address.is_link_local:
        return "a link-local or metadata address, which is never allowed"
    if address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_loopback):
        return "an address that no receiver has"
    if not address.is_global and not local:
        return "an address of this machine or network; LABLINK_NOTIFY_LOCAL=true allows those"
    return ""
