"""Where a notification may go: no address that leads into this machine, this network or the cloud's metadata.

The name is resolved once and the connection goes to the address that was judged, so that no second answer of the name's server
can lead elsewhere.
"""

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

import anyio

OF_THE_CLOUD = ip_network(
    "fd00:ec2::/32"
)  # what AWS answers at in every VPC: metadata, names, time, credentials of pods
FOR_PROTOCOLS = ip_network("192.0.0.0/24")  # RFC 6890; Python 3.11 takes most of it for the world's


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
    try:
        port = parts.port or (443 if scheme == "https" else 80)
    except ValueError:
        raise NotAllowed("there is no such port; the highest is 65535") from None
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ip_address(str(entry[4][0]).split("%", 1)[0]) for entry in found]
    for address in addresses:
        if refusal := refuse(address, local=local):
            raise NotAllowed(f"{host} leads to {refusal}")
    target = parts.path or "/"
    return Endpoint(scheme, host, port, str(addresses[0]), f"{target}?{parts.query}" if parts.query else target)


def refuse(address: IPv4Address | IPv6Address, *, local: bool) -> str:
    """Why nothing is sent to an address, or nothing. What an IPv6 address carries inside (RFC 4291, RFC 3056) is judged as what it is."""
    inner = address.ipv4_mapped or address.sixtofour if isinstance(address, IPv6Address) else None
    if inner:
        return refuse(inner, local=local)
    if address.is_link_local or address in OF_THE_CLOUD:
        return "a link-local or metadata address, which is never allowed"
    if address.is_multicast or address.is_unspecified or (address.is_reserved and not address.is_loopback):
        return "an address that no receiver has"
    if not _is_worldwide(address) and not local:
        return "an address of this machine or network; LABLINK_NOTIFY_LOCAL=true allows those"
    return ""


def _is_worldwide(address: IPv4Address | IPv6Address) -> bool:
    """Site-local addresses (RFC 3879) are given up, and still no part of the world."""
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not site_local and address not in FOR_PROTOCOLS
