"""One client of a TURN server, ready for the load: an allocation and what frames payloads to its peer."""

from struct import Struct

from bench.cases import Framing
from bench.turn_client import Account, TurnClient
from fairlead.datagram import Address
from fairlead.stun.attributes import DATA, XOR_PEER_ADDRESS
from fairlead.stun.header import Class, Method
from fairlead.stun.message import encode, new_mask

_CHANNEL = 0x4000
_CHANNEL_HEADER = Struct("!HH")


class TurnCall:
    """An allocation by an account of the server. Raises TurnError."""

    def __init__(self, server: Address, account: Account) -> None:
        self._client, self.relayed = TurnClient.with_allocation(server, account)
        self.socket = self._client.socket

    def reach(self, peer: Address, framing: Framing, size: int) -> bytes:
        if framing is Framing.CHANNEL:
            self._client.bind_channel(_CHANNEL, peer)
            return _CHANNEL_HEADER.pack(_CHANNEL, size)
        self._client.permit(peer)
        return send_prefix(peer, size)

    def release(self) -> None:
        self._client.release()


def send_prefix(peer: Address, size: int) -> bytes:
    """What stands in front of `size` bytes (a multiple of 4) in a Send indication."""
    whole = encode(Method.SEND, Class.INDICATION, new_mask(bytes(12)), [(XOR_PEER_ADDRESS, peer), (DATA, bytes(size))])
    return whole[: len(whole) - size]
