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
from fairlead.stun.integrity import fingerprint
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


_REQUEST_TYPE = message_type(Method.BINDING, Class.REQUEST).to_bytes(2)
_SUCCESS_TYPE = message_type(Method.BINDING, Class.SUCCESS).to_bytes(2)
#: Type, length and cookie of a request without attributes, and of one with a FINGERPRINT alone; its header.
_BARE = _REQUEST_TYPE + struct.pack("!HI", 0, MAGIC_COOKIE)
_STAMPED = _REQUEST_TYPE + struct.pack("!HI", 8, MAGIC_COOKIE)
_STAMP = struct.pack("!HH", FINGERPRINT.type, 4)
_STAMPED_LENGTH = HEADER_LENGTH + 8
#: What stands before the port, by the length of the host.
_MAPPED = {
    4: struct.pack("!HHH", XOR_MAPPED_ADDRESS.type, 8, Family.IPV4),
    16: struct.pack("!HHH", XOR_MAPPED_ADDRESS.type, 20, Family.IPV6),
}


def is_binding_request(data: bytes) -> bool:
    """Whether these bytes look like one, by their first ones."""
    return data.startswith(_REQUEST_TYPE) and len(data) >= HEADER_LENGTH


def answer_plain_request(data: bytes, source: Address) -> Reply | None:
    """What answer_binding says under the LEAST settings to a request of nothing but a right FINGERPRINT, at a fifth of
    its price; None for every other message. Most requests that a STUN server sees are the 20 bytes without it."""
    length = len(data)
    if length == HEADER_LENGTH and data.startswith(_BARE):
        signed = False
    elif length == _STAMPED_LENGTH and data.startswith(_STAMPED) and data[HEADER_LENGTH:].startswith(_STAMP):
        if int.from_bytes(data[-4:]) != fingerprint(data, HEADER_LENGTH):
            return None
        signed = True
    else:
        return None
    host = source.packed_host
    size = len(host)
    port = (source.port ^ MAGIC_COOKIE >> 16).to_bytes(2)
    xored = (int.from_bytes(host) ^ int.from_bytes(data[4 : 4 + size])).to_bytes(size)
    body = _MAPPED[size] + port + xored
    if not signed:
        return Reply(_SUCCESS_TYPE + len(body).to_bytes(2) + data[4:] + body, 0)
    reply = _SUCCESS_TYPE + (len(body) + 8).to_bytes(2) + data[4:HEADER_LENGTH] + body
    return Reply(reply + _STAMP + fingerprint(reply, len(reply)).to_bytes(4), 0)


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
