"""What counts as one source, wherever sources are counted or limited."""

from fairlead.datagram import pack_host

_IPV6_PREFIX_BYTES = 8
_IPV4_MAPPED = bytes(10) + b"\xff\xff"


def source_prefix(host: str) -> bytes:
    """An IPv4 address (4 bytes), or the /64 of an IPv6 address (8 bytes), which one site has to itself."""
    packed = pack_host(host)
    if len(packed) == 4:
        return packed
    return packed[12:] if packed.startswith(_IPV4_MAPPED) else packed[:_IPV6_PREFIX_BYTES]
