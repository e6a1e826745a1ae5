"""What turnd understands of all that must be understood (RFC 8489 section 6.3).

Anything else is refused in a request (420) and fatal to an indication. What is understood and means nothing in a
message is ignored.
"""

from fairlead.stun import attributes as stun

UNDERSTOOD = frozenset(
    attribute.type
    for attribute in (
        stun.MAPPED_ADDRESS,
        stun.USERNAME,
        stun.MESSAGE_INTEGRITY,
        stun.ERROR_CODE,
        stun.UNKNOWN_ATTRIBUTES,
        stun.REALM,
        stun.NONCE,
        stun.MESSAGE_INTEGRITY_SHA256,
        stun.XOR_MAPPED_ADDRESS,
        stun.CHANNEL_NUMBER,
        stun.LIFETIME,
        stun.XOR_PEER_ADDRESS,
        stun.DATA,
        stun.XOR_RELAYED_ADDRESS,
        stun.REQUESTED_ADDRESS_FAMILY,
        stun.EVEN_PORT,
        stun.REQUESTED_TRANSPORT,
        stun.DONT_FRAGMENT,
        stun.RESERVATION_TOKEN,
    )
)
