"""If this failed, whoever may name a target could have the service call what only it can reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_lineage.notify.address import AddressRefused, Policy, network, resolved

PUBLIC = Policy()
INWARD = [
    "0.0.0.0",  # noqa: S104 - nothing is bound to it
    "127.0.0.1", "127.255.255.254", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1",
    "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::1", "::", "fe80::1", "fd00:ec2::254", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1", "64:ff9b:1::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1", "::127.0.0.1",
    "2002:7f00:1::", "2002:a9fe:a9fe::", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe",
    "2001:0:7f00:1:0:0:8000:1", "2001:4860::5efe:10.0.0.1", "2001:4860::200:5efe:10.0.0.1",
]  # fmt: skip
OUTWARD = ["8.8.8.8", "1.1.1.1", "52.0.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


def of(*addresses: str) -> object:
    def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


@pytest.mark.parametrize("text", INWARD)
def test_no_address_that_leads_inward_is_called(text: str) -> None:
    with pytest.raises(AddressRefused, match=r"hooks\.example is at"):
        PUBLIC.addresses(PUBLIC.place("https://hooks.example/x"), of(text))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", OUTWARD)
def test_public_addresses_are_called(text: str) -> None:
    found = PUBLIC.addresses(PUBLIC.place("https://hooks.example/x"), of(text))  # type: ignore[arg-type]
    assert found == [ipaddress.ip_address(text)]


@given(st.integers(0, 2**32 - 1))
def test_an_address_that_wraps_another_one_is_no_way_around(number: int) -> None:
    inner = IPv4Address(number)
    wrapped: list[IPv6Address] = [
        IPv6Address(f"::ffff:{inner}"), IPv6Address(f"64:ff9b::{inner}"),
        IPv6Address((0x2002 << 112) | (number << 80) | 1),
    ]  # fmt: skip
    if not inner.is_global or inner.is_multicast:
        assert PUBLIC.trouble(inner) is not None
        assert all(PUBLIC.trouble(each) is not None for each in wrapped)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_may_be_called_is_public_by_the_registry(address: IPv4Address | IPv6Address) -> None:
    if PUBLIC.trouble(address) is None:
        assert not address.is_multicast
        if isinstance(address, IPv4Address) or int(address) >> 96:  # not one that stands for an IPv4 address
            assert address.is_global


def test_only_the_addresses_that_are_allowed_are_called() -> None:
    place = PUBLIC.place("https://hooks.example/x")
    assert PUBLIC.addresses(place, of("10.0.0.1", "8.8.8.8", "::1")) == [IPv4Address("8.8.8.8")]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("networks", "text", "allowed"),
    [
        (["10.0.0.0/8"], "10.1.2.3", True),
        (["10.0.0.0/8"], "192.168.0.1", False),
        (["10.0.0.0/8"], "169.254.169.254", False),
        (["127.0.0.0/8", "::1/128"], "127.0.0.1", True),
        (["127.0.0.0/8", "::1/128"], "::1", True),
        (["fd00::/8"], "fd12::1", True),
        (["fd00::/8"], "10.0.0.1", False),
    ],
)
def test_a_setting_allows_networks_and_no_others(networks: list[str], text: str, allowed: bool) -> None:
    policy = Policy(tuple(network(each) for each in networks))
    assert (policy.trouble(ipaddress.ip_address(text)) is None) is allowed


REFUSED = [
    "http://hooks.example/x", "ftp://hooks.example/x", "file:///etc/passwd", "gopher://hooks.example/",
    "//hooks.example/x", "hooks.example/x", "", "https://", "https:///x", "https://user@hooks.example/", "https://user:pw@hooks.example/",
    "https://hooks.example@127.0.0.1/", "https://127.0.0.1#@hooks.example/", "https://hooks.example\\@127.0.0.1/",
    "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/",
    "https://127.0.0.1.0x1/", "https://1.2.3.256/", "https://[::1/", "https://[fe80::1%25eth0]/", "https://[::g]/",
    "https://hooks.example:99999/", "https://hooks.example:x/", "https://hooks.example:0/", "https://hooks.example:/",
    "https://hooks..example/", "https://hooks.example/a b", "https://hooks.example/\n", "https://\u2460\u2461\u2466.0.0.1/",
    "https://hooks\u3002example/", "https://" + "a" * 64 + ".example/",
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_urls_that_are_read_in_two_ways_are_refused_before_anything_is_asked(url: str) -> None:
    with pytest.raises(AddressRefused) as raised:
        PUBLIC.place(url)
    assert "pw" not in raised.value.message


@pytest.mark.parametrize(
    ("url", "host", "port", "authority"),
    [
        ("https://hooks.example/x?y=1", "hooks.example", 443, "hooks.example"),
        ("https://HOOKS.example./x", "hooks.example", 443, "hooks.example"),
        ("https://hooks.example:8443/x", "hooks.example", 8443, "hooks.example:8443"),
        ("https://[::1]:8443/x", "::1", 8443, "[::1]:8443"),
        ("https://127.0.0.1/x", "127.0.0.1", 443, "127.0.0.1"),
    ],
)
def test_a_url_leads_where_it_says(url: str, host: str, port: int, authority: str) -> None:
    place = PUBLIC.place(url)
    assert (place.host, place.port, place.authority) == (host, port, authority)


@pytest.mark.parametrize("host", ["localhost", "localhost.", "LOCALHOST", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_this_machine_is_refused_by_whatever_name(host: str) -> None:
    place = PUBLIC.place(f"https://{host}/")
    with pytest.raises(AddressRefused):
        PUBLIC.addresses(place, resolved)


def test_a_name_without_addresses_is_no_refusal() -> None:
    with pytest.raises(OSError, match="no address"):
        PUBLIC.addresses(PUBLIC.place("https://hooks.example/"), of())  # type: ignore[arg-type]
