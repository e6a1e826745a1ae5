import assert from "node:assert/strict";
import { test } from "node:test";

import { Room } from "../dist/room.js";

/** The edge: a browser without a network. */
class Connection {
    signalingState = "stable";
    createDataChannel() { return {}; }
    addTrack() {}
    setConfiguration() {}
    async setLocalDescription() {}
    async setRemoteDescription() {}
    close() { this.closed = true; }
}

test("a member that says bye has ended its call, which is no message, and may call again", () => {
    const { MediaStream, RTCPeerConnection } = globalThis;
    Object.assign(globalThis, { MediaStream: class { addTrack() {} }, RTCPeerConnection: Connection });
    try {
        const room = new Room({ request: async () => ({}) }, "r", {});
        const heard = [];
        room.on("message", (message) => heard.push(message));
        const members = [{ id: "m_bot", user: null, order: 1, meta: null, joined_at: 0 }];
        room.receive({ type: "joined", room: "r", data: { room: "r", self: { id: "m", order: 2 }, role: "", rseq: 1, members } });
        room.call();
        const first = room.peers.get("m_bot");
        room.receive({ type: "bye", room: "r", from: "m_bot", data: null });
        assert.deepEqual([heard, first.connection.closed, room.peers.size, room.members.size], [[], true, 0, 1]);
        room.receive({ type: "candidate", room: "r", from: "m_bot", data: null });
        assert.equal(room.peers.size, 0);
        room.receive({ type: "offer", room: "r", from: "m_bot", data: { type: "offer", sdp: "v=0" } });
        assert.notEqual(room.peers.get("m_bot"), first);
        room.hangUp();
    } finally {
        Object.assign(globalThis, { MediaStream, RTCPeerConnection });
    }
});
