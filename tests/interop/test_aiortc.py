"""Two aiortc peers that know nothing of each other but a room, and reach each other only through turnd."""

import asyncio

import pytest
from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)

from fairlead.datagram import Transport
from tests.interop.books import balanced
from tests.interop.signaling import Member, member
from tests.processes import Daemons

_ECHOES = 50
_WAIT = 60.0


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP], ids=str)
async def test_every_message_comes_back(daemons: Daemons, transport: Transport) -> None:
    turnd = daemons.turnd()
    signal_api = daemons.signal_api(f"turn:{turnd.address(transport)}?transport={transport}").address("http")
    async with member(signal_api, "call") as callee, member(signal_api, "call") as caller:
        peers = [_peer(each) for each in (callee, caller)]
        echoing = asyncio.create_task(_answer_and_echo(callee, peers[0]))
        channel = peers[1].createDataChannel("echo")
        heard: asyncio.Queue[str] = asyncio.Queue()
        channel.on("message", heard.put_nowait)
        opened = asyncio.Event()
        channel.on("open", opened.set)
        await _call(caller, peers[1])
        await echoing
        await asyncio.wait_for(opened.wait(), _WAIT)
        for number in range(_ECHOES):
            channel.send(f"message {number}")
            assert await asyncio.wait_for(heard.get(), _WAIT) == f"message {number}"
        samples = balanced(turnd)
        await asyncio.gather(*(peer.close() for peer in peers))

    assert samples.sum("turnd_allocations", transport=transport, relay_family="ipv4") == 2
    assert samples.sum("turnd_relay_packets_total", direction="to_client") > 2 * _ECHOES


def _peer(of: Member) -> RTCPeerConnection:
    servers = [RTCIceServer(**server) for server in of.ice["iceServers"]]
    return RTCPeerConnection(RTCConfiguration(servers, iceTransportPolicy=RTCIceTransportPolicy.RELAY))


async def _call(caller: Member, peer: RTCPeerConnection) -> None:
    (other,) = caller.others
    await peer.setLocalDescription(await peer.createOffer())
    await caller.send("offer", other, _written(peer.localDescription))
    answer = await caller.receive("answer")
    await peer.setRemoteDescription(RTCSessionDescription(**answer["data"]))


async def _answer_and_echo(callee: Member, peer: RTCPeerConnection) -> None:
    def echo(channel: RTCDataChannel) -> None:
        channel.on("message", channel.send)

    peer.on("datachannel", echo)
    offer = await callee.receive("offer")
    await peer.setRemoteDescription(RTCSessionDescription(**offer["data"]))
    await peer.setLocalDescription(await peer.createAnswer())
    await callee.send("answer", offer["from"], _written(peer.localDescription))


def _written(description: RTCSessionDescription) -> dict[str, str]:
    """As W3C's objects are; all of its candidates are relayed addresses."""
    candidates = [line for line in description.sdp.splitlines() if line.startswith("a=candidate:")]
    assert candidates
    assert all(" typ relay " in line for line in candidates)
    return {"type": description.type, "sdp": description.sdp}
