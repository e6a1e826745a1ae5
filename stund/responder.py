"""The whole of stund's protocol: bytes in, bytes out (RFC 8489 sections 6.3 and 12)."""

from typing import NamedTuple

from fairlead.datagram import Address
from fairlead.reasons import Reason
from fairlead.stun.binding import LEAST, BindingSettings, Reply, answer_binding, answer_plain_request
from fairlead.stun.header import DecodeError
from fairlead.stun.message import decode


class ResponderSettings(NamedTuple):
    """`classic` answers RFC 3489 clients too, which send no cookie."""

    binding: BindingSettings = LEAST
    classic: bool = False


def respond(data: bytes, source: Address, settings: ResponderSettings) -> Reply | Reason:
    """The answer to one datagram or framed message, or why there is none. Remembers nothing."""
    if settings.binding == LEAST:
        reply = answer_plain_request(data, source)
        if reply is not None:
            return reply
    try:
        message = decode(data, settings.classic)
    except DecodeError as error:
        return error.reason
    return answer_binding(message, source, settings.binding)
