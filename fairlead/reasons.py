"""The one list of words for what became of a packet: every datagram that is not forwarded or answered ends with one.

The words are metric label values, and the compiled engines use the same ones; add here first.
"""

import enum


class Reason(enum.StrEnum):
    """Why a packet was dropped."""

    # What is wrong with its bytes
    EMPTY = "empty"
    NOT_STUN = "not_stun"
    MALFORMED = "malformed"
    BAD_COOKIE = "bad_cookie"
    BAD_FINGERPRINT = "bad_fingerprint"
    # What is wrong with the message
    NOT_A_REQUEST = "not_a_request"
    UNKNOWN_METHOD = "unknown_method"
    UNKNOWN_ATTRIBUTE = "unknown_attribute"
    MISSING_ATTRIBUTE = "missing_attribute"
    # What forbids it
    NO_ALLOCATION = "no_allocation"
    NO_PERMISSION = "no_permission"
    NO_CHANNEL = "no_channel"
    PEER_DENIED = "peer_denied"
    PEER_FAMILY = "peer_family"
    PEER_NOT_ALLOCATED = "peer_not_allocated"
    PORT_ZERO = "port_zero"
    RATE_LIMITED = "rate_limited"
    BANDWIDTH = "bandwidth"
    USER_BANDWIDTH = "user_bandwidth"
    # What the machine could not do
    SEND_BUFFER = "send_buffer"
    TOO_LARGE = "too_large"
    UNREACHABLE = "unreachable"
