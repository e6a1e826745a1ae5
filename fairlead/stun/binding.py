"""The Binding method of RFC 8489, for every server that answers it: no state, no credentials, the smallest reply."""

import struct
from typing import Any, NamedTuple

from fairlead.datagram import Address, Family
from fairlead.reasons import Reason
from fairlead.stun.attributes import (
    ERROR_CODE,
    FINGERPRINT,
    MAPPED_ADDRESS,
    MESSAGE_INTEGRITY,
    MESSAGE_INTEGRITY_SHA256,
    NONCE,
    PASSWORD_ALGORITHM,
    PRIORITY,
    REALM,
    SOFTWARE,
    UNKNOWN_ATTRIBUTES,
    USE_CANDIDATE,
    USERHASH,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    Attribute,
    ErrorCode,
)
from fairlead.stun.header import HEADER_LENGTH, MAGIC_COOKIE, Class, Method, message_type
from fairlead.stun.message import Message, encode

#: What must be understood and asks for nothing here: ICE agents and TURN clients attach it to Bindings as well.
ACCEPTED = frozenset(
    attribute.type
    for attribute in (
        USERNAME,
        MESSAGE_INTEGRITY,
        MESSAGE_INTEGRITY_SHA256,
        PASSWORD_ALGORITHM,
        USERHASH,
        REALM,
        NONCE,
        PRIORITY,
        USE_CANDIDATE,
    )
)

UNKNOWN_ATTRIBUTE = ErrorCode(420, "Unknown Attribute")

#: No reply over UDP is longer, so that none is ever cut on its way (RFC 8489 section 6.1).
LARGEST_REPLY = 548
#: So many unknown types are named at most; with the longest SOFTWARE and all else the reply stays below the limit.
_NAMED = 64
LONGEST_SOFTWARE = 128


class BindingSettings(NamedTuple):
    """What a reply holds beyond the address. `software` is at most LONGEST_SOFTWARE bytes of UTF-8."""

    software: str | None = None
    mapped_address: bool = False


LEAST = BindingSettings()


class Reply(NamedTuple):
    """An encoded reply, and what it says: the error code, 0 for success."""

    data: bytes
    code: int


#: Type, length and cookie of a request without attributes, and what a success says before and inside its attribute.
_BARE_REQUEST = struct.pack("!HHI", message_type(Method.BINDING, Class.REQUEST), 0, MAGIC_COOKIE)
_SUCCESS = message_type(Method.BINDING, Class.SUCCESS)
_BARE_REPLIES = {
    4: (struct.pack("!HH", _SUCCESS, 12), struct.pack("!HHH", XOR_MAPPED_ADDRESS.type, 8, Family.IPV4)),
    16: (struct.pack("!HH", _SUCCESS, 24), struct.pack("!HHH", XOR_MAPPED_ADDRESS.type, 20, Family.IPV6)),
}


def answer_bare_request(data: bytes, source: Address) -> Reply | None:
    """What answer_binding says to a request without attributes under the LEAST settings, at a fifth of its price;
    None for every other message. Most requests that a STUN server sees are these 20 bytes."""
    if len(data) != HEADER_LENGTH or not data.startswith(_BARE_REQUEST):
        return None
    host = source.packed_host
    size = len(host)
    head, attribute = _BARE_REPLIES[size]
    port = (source.port ^ MAGIC_COOKIE >> 16).to_bytes(2)
    xored = (int.from_bytes(host) ^ int.from_bytes(data[4 : 4 + size])).to_bytes(size)
    return Reply(head + data[4:] + attribute + port + xored, 0)


def answer_binding(message: Message, source: Address, settings: BindingSettings) -> Reply | Reason:
    """The answer to a decoded message that should be a Binding request, or why there is none (RFC 8489, 6.3.1)."""
    if message.message_class is not Class.REQUEST:
        return Reason.NOT_A_REQUEST
    if message.method != Method.BINDING:
        return Reason.UNKNOWN_METHOD
    unknown = message.unknown(ACCEPTED)
    if unknown:
        attributes: list[tuple[Attribute[Any], Any]] = [
            (ERROR_CODE, UNKNOWN_ATTRIBUTE),
            (UNKNOWN_ATTRIBUTES, unknown[:_NAMED]),
        ]
        return _reply(message, Class.ERROR, attributes, settings, UNKNOWN_ATTRIBUTE.code)
    # A client that knows no cookie cannot undo the XOR (RFC 8489 section 11).
    attributes = [(MAPPED_ADDRESS if message.is_classic else XOR_MAPPED_ADDRESS, source)]
    if settings.mapped_address and not message.is_classic:
        attributes.append((MAPPED_ADDRESS, source))
    return _reply(message, Class.SUCCESS, attributes, settings, 0)


def _reply(
    message: Message,
    message_class: Class,
    attributes: list[tuple[Attribute[Any], Any]],
    settings: BindingSettings,
    code: int,
) -> Reply:
    if settings.software is not None:
        attributes.append((SOFTWARE, settings.software))
    signed = message.has(FINGERPRINT)
    return Reply(encode(message.method, message_class, message.mask, attributes, with_fingerprint=signed), code)
