"""Nonces without memory: a nonce proves by itself that we gave it to this address and port, and when.

It is the time and a MAC over client address, port and time, under a key that the nodes of a fleet may share. RFC 8489
section 9.2.4 forbids the same nonce for two sources; section 5.4 of RFC 7616 suggests this form.
"""

import base64
import binascii
import hmac

from fairlead.clock import Now
from fairlead.datagram import Address

_TIME_BYTES = 5
_MAC_BYTES = 16
#: 21 bytes in base64: no padding.
NONCE_LENGTH = 28
_LEAST_KEY = 16
#: Seconds by which the clocks of a fleet may differ.
_SKEW = 60
_PURPOSE = b"fairlead nonce 1\0"


class NonceMint:
    """`key`: at least 16 unpredictable bytes. `lifetime`: seconds for which a nonce is good."""

    def __init__(self, key: bytes, lifetime: int = 600) -> None:
        if len(key) < _LEAST_KEY:
            raise ValueError(f"a nonce key of {len(key)} bytes can be guessed; give it at least {_LEAST_KEY}")
        self._key = key
        self._lifetime = lifetime

    def mint(self, client: Address, now: Now) -> str:
        """A nonce of 28 characters for this client and second."""
        time = max(0, int(now.wall)).to_bytes(_TIME_BYTES)
        return base64.urlsafe_b64encode(time + self._mac(client, time)).decode()

    def check(self, nonce: str, client: Address, now: Now) -> bool:
        """Whether the nonce is ours, was given to this address and port, and is not too old."""
        issued = self.issued_at(nonce, client)
        return issued is not None and -_SKEW <= now.wall - issued <= self._lifetime

    def issued_at(self, nonce: str, client: Address) -> int | None:
        """When (Unix time) this client was given this nonce; None when it is not one of ours, or another's."""
        if len(nonce) != NONCE_LENGTH:
            return None
        try:
            raw = base64.b64decode(nonce, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        time, mac = raw[:_TIME_BYTES], raw[_TIME_BYTES:]
        return int.from_bytes(time) if hmac.compare_digest(mac, self._mac(client, time)) else None

    def _mac(self, client: Address, time: bytes) -> bytes:
        covered = _PURPOSE + time + client.port.to_bytes(2) + client.packed_host
        return hmac.digest(self._key, covered, "sha256")[:_MAC_BYTES]
