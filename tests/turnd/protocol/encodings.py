"""The ways to write an IPv4 address as an IPv6 address, and the addresses that peers must not have by default.

Both are typed here from the RFCs and the IANA registries, apart from the tables of the policy that they test.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from turnd.protocol.peer_policy import PeerClass

Encoding = Callable[[IPv4Address], IPv6Address]


def _behind(prefix: str) -> Encoding:
    return lambda address: IPv6Address(int(IPv6Address(prefix)) + int(address))


def _six_to_four(address: IPv4Address) -> IPv6Address:
    """RFC 3056: the address follows 2002::/16; here it is also the host in that network."""
    return IPv6Address(0x2002 << 112 | int(address) << 80 | int(address))


def _teredo(address: IPv4Address) -> IPv6Address:
    """RFC 4380: a server, flags, and port and address of the client, with their bits turned over."""
    return IPv6Address(0x20010000 << 96 | int(address) << 64 | 0xFFFF << 32 | int(address) ^ 0xFFFFFFFF)


ENCODINGS: dict[str, Encoding] = {
    "mapped": _behind("::ffff:0:0"),
    "compatible": _behind("::"),
    "translated": _behind("::ffff:0:0:0"),
    "nat64": _behind("64:ff9b::"),
    "local_nat64": _behind("64:ff9b:1::"),
    "six_to_four": _six_to_four,
    "teredo": _teredo,
}

SPECIAL_IPV4: dict[str, PeerClass] = {
    "0.0.0.0/8": PeerClass.UNSPECIFIED,
    "10.0.0.0/8": PeerClass.PRIVATE,
    "100.64.0.0/10": PeerClass.CGNAT,
    "100.100.100.200/32": PeerClass.METADATA,
    "127.0.0.0/8": PeerClass.LOOPBACK,
    "168.63.129.16/32": PeerClass.METADATA,
    "169.254.0.0/16": PeerClass.LINK_LOCAL,
    "169.254.169.254/32": PeerClass.METADATA,
    "169.254.170.2/32": PeerClass.METADATA,
    "169.254.170.23/32": PeerClass.METADATA,
    "172.16.0.0/12": PeerClass.PRIVATE,
    "192.0.0.0/24": PeerClass.RESERVED,
    "192.0.0.192/32": PeerClass.METADATA,
    "192.0.2.0/24": PeerClass.DOCUMENTATION,
    "192.88.99.0/24": PeerClass.SIX_TO_FOUR,
    "192.168.0.0/16": PeerClass.PRIVATE,
    "198.18.0.0/15": PeerClass.BENCHMARKING,
    "198.51.100.0/24": PeerClass.DOCUMENTATION,
    "203.0.113.0/24": PeerClass.DOCUMENTATION,
    "224.0.0.0/4": PeerClass.MULTICAST,
    "240.0.0.0/4": PeerClass.RESERVED,
    "255.255.255.255/32": PeerClass.BROADCAST,
}

SPECIAL_IPV6: dict[str, PeerClass] = {
    "::/128": PeerClass.UNSPECIFIED,
    "::1/128": PeerClass.LOOPBACK,
    "64:ff9b:1::/48": PeerClass.NAT64,
    "100::/64": PeerClass.RESERVED,
    "100:0:0:1::/64": PeerClass.RESERVED,
    "200::/7": PeerClass.RESERVED,
    "2001::/32": PeerClass.TEREDO,
    "2001:1::/32": PeerClass.RESERVED,
    "2001:2::/48": PeerClass.BENCHMARKING,
    "2001:10::/28": PeerClass.RESERVED,
    "2001:20::/28": PeerClass.RESERVED,
    "2001:db8::/32": PeerClass.DOCUMENTATION,
    "2002::/16": PeerClass.SIX_TO_FOUR,
    "3fff::/20": PeerClass.DOCUMENTATION,
    "4000::/2": PeerClass.RESERVED,
    "5f00::/16": PeerClass.RESERVED,
    "fc00::/7": PeerClass.UNIQUE_LOCAL,
    "fd00:ec2::254/128": PeerClass.METADATA,
    "fd20:ce::254/128": PeerClass.METADATA,
    "fe80::/10": PeerClass.LINK_LOCAL,
    "fec0::/10": PeerClass.PRIVATE,
    "ff00::/8": PeerClass.MULTICAST,
}
