"""Two programs meet in a room and say hello: python hello.py SERVER ROOM TOKEN, twice."""

import asyncio
import sys

from aiortc import RTCPeerConnection
from aiortc.contrib.signaling import BYE

from fairlead_client.aiortc import RoomSignaling


async def main(server: str, room: str, token: str) -> None:
    signaling = RoomSignaling(server, room, token)
    await signaling.connect()
    peer = RTCPeerConnection(signaling.configuration)
    channel = peer.createDataChannel("hello", negotiated=True, id=0)
    heard = asyncio.get_running_loop().create_future()
    channel.on("message", heard.set_result)
    channel.on("open", lambda: channel.send(f"hello from {signaling.room.id}"))
    if signaling.is_caller:
        await peer.setLocalDescription(await peer.createOffer())
        await signaling.send(peer.localDescription)
    await peer.setRemoteDescription(await signaling.receive_description())
    if not signaling.is_caller:
        await peer.setLocalDescription(await peer.createAnswer())
        await signaling.send(peer.localDescription)
    print(await heard)
    await signaling.send(BYE)
    await signaling.receive()  # The other has heard as well.
    await peer.close()
    await signaling.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
