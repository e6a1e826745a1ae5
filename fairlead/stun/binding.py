"""The Binding method of RFC 8489, for every server that answers it: no state, no credentials, the smallest reply."""

from typing import Any, NamedTuple

from fairlead.datagram import Address
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
from fairlead.stun.header import Class, Method
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


class Reply(NamedTuple):
    """An encoded reply, and what it says: the error code, 0 for success."""

    data: bytes
    code: int


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
