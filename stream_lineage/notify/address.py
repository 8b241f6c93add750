"""Which addresses may be called: what a name resolves to is looked at when it is called, and only that is called.

Whoever may say where messages go could have this service call what only it can reach: the machine's own ports, the
private network, the cloud's metadata. Refused is what is not public, in every form that an address can be written in.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from stream_lineage.errors import StreamLineageError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a name. Raises OSError where there are none."""

_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_PORTS = {"https": 443, "http": 80}
_NAT64 = ip_network("64:ff9b::/96")
_ALSO: tuple[tuple[Network, str], ...] = (
    (ip_network("168.63.129.16/32"), "of a cloud's own services"),  # public by its number: Azure's wire server
    (ip_network("192.0.0.0/24"), "reserved"),  # IANA's special-purpose registries, which Python knows as of its release
    (ip_network("192.88.99.0/24"), "reserved"),
    (ip_network("2001::/23"), "reserved"),
    (ip_network("3fff::/20"), "reserved"),
    (ip_network("5f00::/16"), "reserved"),
    (ip_network("64:ff9b:1::/48"), "private"),
    (ip_network("fec0::/10"), "private"),
)


class AddressRefused(StreamLineageError):
    """A target may not be called."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL leads. ``host`` has no brackets and no dot at its end."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """What the header ``Host`` says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Policy:
    """``networks`` may be called although they are not public; ``http``: whether without TLS."""

    networks: tuple[Network, ...] = ()
    http: bool = False

    def place(self, url: str) -> Place:
        """Where a URL leads, if it is one that may be called, by what it says.

        Raises:
            AddressRefused: it is not. The message does not hold the URL, which may be a secret.
        """
        if not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>^`{|}'):
            raise AddressRefused("the URL has characters that a URL has not", hint="Names beyond ASCII: as xn--...")
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname
        except ValueError:
            raise AddressRefused("it is no URL") from None
        if parts.scheme not in _PORTS or (parts.scheme == "http" and not self.http):
            raise AddressRefused("the URL must start with https://", hint="`notify_http: true` allows http:// as well.")
        if not host or parts.netloc.endswith(":"):
            raise AddressRefused("the URL has no host")
        if "@" in parts.netloc:
            raise AddressRefused("the URL has a user or a password in it")
        if parts.fragment:
            raise AddressRefused("the URL has a fragment (#)")
        if port == 0 or "%" in host:
            raise AddressRefused("the URL has a port or a host that is none")
        return Place(parts.scheme, _host(host), port or _PORTS[parts.scheme])

    def addresses(self, place: Place, resolve: Resolve | None = None) -> list[Address]:
        """The addresses of a place that may be called, as they are now.

        Raises:
            AddressRefused: there are only others.
            OSError: there are none.
        """
        found = [ip_address(text) for text in (resolve or resolved)(place.host, place.port)]
        allowed = [each for each in found if self.trouble(each) is None]
        if not allowed:
            if not found:
                raise OSError(f"{place.host} has no address")
            raise AddressRefused(
                f"{place.host} is at {found[0]}, which is {self.trouble(found[0])}",
                hint="`notify_private_networks` allows networks that are not public.",
            )
        return allowed

    def trouble(self, address: Address) -> str | None:
        """Why an address may not be called; null where it may."""
        if any(address in network for network in self.networks):
            return None
        inner = list(_inner(address))
        own = None if _stands_for_another(address) else _not_public(address)
        if own is not None:
            return own
        for each in inner:
            said = _not_public(each)
            if said is not None and not any(each in network for network in self.networks):
                return f"an address for {each}, which is {said}"
        return None


def resolved(host: str, port: int) -> list[str]:
    """By the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))


def network(text: str) -> Network:
    """Raises ValueError: it is none."""
    return ip_network(text)


def _host(host: str) -> str:
    """One that is written in the one way that everybody understands alike.

    Raises:
        AddressRefused: it is a number that some take for an address: 2130706433, 0x7f.1, 0177.0.0.1, 127.1.
    """
    host = host.removesuffix(".")
    if ":" in host:
        try:
            return str(IPv6Address(host))
        except ValueError:
            raise AddressRefused("the URL has a port or a host that is none") from None
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise AddressRefused("the URL's host is a number that is no address as it is usually written") from None
    if not host or any(not label or len(label) > 63 for label in host.split(".")):
        raise AddressRefused("the URL has a port or a host that is none")
    return host


def _not_public(address: Address) -> str | None:
    kinds = (
        (address.is_loopback, "of this machine itself (loopback)"),
        (address.is_link_local, "link-local, as a cloud's metadata is"),
        (address.is_unspecified, "no address of anything"),
        (address.is_multicast, "multicast"),
        (address.is_private, "private"),
        *((address in network, said) for network, said in _ALSO),
        (address.is_reserved, "reserved"),
        (not address.is_global, "not public"),
    )
    return next((said for holds, said in kinds if holds), None)


def _stands_for_another(address: Address) -> bool:
    """Whether it is nothing but an IPv4 address in another form."""
    return isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or address in _NAT64)


def _inner(address: Address) -> Iterator[IPv4Address]:
    """Addresses that an address stands for, where something on the way translates them."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _NAT64 or number >> 32 == 0 or (number >> 32) & 0xFCFFFFFF == 0x5EFE:  # the last: ISATAP
        yield IPv4Address(number & 0xFFFFFFFF)
