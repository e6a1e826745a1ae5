"""Nonces without memory: a nonce proves by itself that we gave it to this address and port, and when.

It is the time and a MAC over client address, port and time, under a key that the nodes of a fleet may share: 21 bytes,
which base64 writes without padding. RFC 8489 section 9.2.4 forbids the same nonce for two sources; section 5.4 of RFC
7616 suggests this form.
"""

import binascii
import hmac

from fairlead.clock import Now
from fairlead.datagram import Address
from fairlead.stun.integrity import PreparedMac

_TIME_BYTES = 5
_MAC_BYTES = 16
_LEAST_KEY = 16
#: Seconds by which the clocks of a fleet may differ.
_SKEW = 60
_PURPOSE = b"fairlead nonce 1\0"
#: Base64 for URLs; what stands for the time.
_FOR_URLS, _FROM_URLS = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")
_STAMP = 8


class NonceMint:
    """`key`: at least 16 unpredictable bytes. `lifetime`: seconds for which a nonce is good."""

    def __init__(self, key: bytes, lifetime: int = 600) -> None:
        if len(key) < _LEAST_KEY:
            raise ValueError(f"a nonce key of {len(key)} bytes can be guessed; give it at least {_LEAST_KEY}")
        self.key = key
        self._mac = PreparedMac(key, "sha256")
        self._lifetime = lifetime

    def mint(self, client: Address, now: Now) -> str:
        """A nonce of 28 characters for this client and second."""
        return self._seal(client, max(0, int(now.wall))).decode()

    def check(self, nonce: str, client: Address, now: Now) -> bool:
        """Whether the nonce is ours, was given to this address and port, and is not too old."""
        issued = self.issued_at(nonce, client)
        return issued is not None and -_SKEW <= now.wall - issued <= self._lifetime

    def issued_at(self, nonce: str, client: Address) -> int | None:
        """When (Unix time) this client was given this nonce; None when it is not one of ours, or another's."""
        written = nonce.encode()
        try:
            time = int.from_bytes(binascii.a2b_base64(written[:_STAMP].translate(_FROM_URLS))[:_TIME_BYTES])
        except ValueError:
            return None
        return time if hmac.compare_digest(written, self._seal(client, time)) else None

    def _seal(self, client: Address, time: int) -> bytes:
        stamp = time.to_bytes(_TIME_BYTES)
        mac = self._mac.digest(_PURPOSE + stamp + client.port.to_bytes(2) + client.packed_host)
        return binascii.b2a_base64(stamp + mac[:_MAC_BYTES], newline=False).translate(_FOR_URLS)
