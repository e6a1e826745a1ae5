"""Two programs meet in a room and say hello: python hello.py SERVER ROOM TOKEN, twice."""

import asyncio
import sys

from aiortc import RTCPeerConnection

from fairlead_client.aiortc import RoomSignaling


async def main() -> None:
    async with RoomSignaling(*sys.argv[1:]) as signaling:
        peer = RTCPeerConnection(signaling.configuration)
        channel = peer.createDataChannel("hello", negotiated=True, id=0)
        channel.on("open", lambda: channel.send(f"hello from {signaling.room.id}"))
        heard = asyncio.get_running_loop().create_future()
        channel.on("message", heard.set_result)
        await signaling.negotiate(peer)
        print(await heard)
        await signaling.part()
        await peer.close()


asyncio.run(main())
