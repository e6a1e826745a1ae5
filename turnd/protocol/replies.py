"""Requests on their way through a handler, and the replies they end in (RFC 8489 section 6.3, RFC 8656 section 19)."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from fairlead.clock import Now
from fairlead.datagram import Datagram
from fairlead.stun.attributes import ERROR_CODE, FINGERPRINT, UNKNOWN_ATTRIBUTES, Attribute, ErrorCode
from fairlead.stun.header import Class
from fairlead.stun.message import Message, Signature, encode
from turnd.protocol.authentication import Account
from turnd.protocol.effects import Send

#: Phrases of the codes that turnd sends, as the RFCs name them.
PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    420: "Unknown Attribute",
    437: "Allocation Mismatch",
    438: "Stale Nonce",
    440: "Address Family not Supported",
    441: "Wrong Credentials",
    442: "Unsupported Transport Protocol",
    443: "Peer Address Family Mismatch",
    486: "Allocation Quota Reached",
    508: "Insufficient Capacity",
}

Values = Iterable[tuple[Attribute[Any], Any]]


class Refusal(NamedTuple):
    """A request that is answered with an error: its code, and for the operator why."""

    code: int
    reason: str
    attributes: tuple[tuple[Attribute[Any], Any], ...] = ()


def unknown_attributes(types: tuple[int, ...]) -> Refusal:
    """RFC 8489 section 6.3.1: names what was not understood."""
    listed = ", ".join(f"0x{kind:04x}" for kind in types)
    return Refusal(420, f"attributes {listed} are not known", ((UNKNOWN_ATTRIBUTES, types),))


class Request(NamedTuple):
    """An authenticated request; its reply is signed as it was."""

    message: Message
    datagram: Datagram
    account: Account
    now: Now


def success(request: Request, attributes: Values = ()) -> Send:
    return reply(request.datagram, request.message, Class.SUCCESS, attributes, request.account.signature)


def refused(request: Request, refusal: Refusal) -> Send:
    """The error reply to an authenticated request: signed, like a success."""
    return reply(request.datagram, request.message, Class.ERROR, error_values(refusal), request.account.signature)


def error_values(refusal: Refusal) -> Values:
    return ((ERROR_CODE, ErrorCode(refusal.code, PHRASES[refusal.code])), *refusal.attributes)


def reply(
    datagram: Datagram, message: Message, message_class: Class, attributes: Values, signature: Signature | None = None
) -> Send:
    """A reply to any request, out of where it came in; with FINGERPRINT when the request had one."""
    data = encode(message.method, message_class, message.mask, attributes, signature, message.has(FINGERPRINT))
    return Send(datagram.via, datagram.five_tuple, data)
