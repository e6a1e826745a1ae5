import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { SignalingError } from "../dist/frames.js";
import { Room } from "../dist/room.js";
import { ManualTimers } from "./timers.js";

/** The edge: a browser without a network. */
class Connection {
    signalingState = "stable";
    connectionState = "new";
    async getStats() { return new Map(); }
    createDataChannel() { return {}; }
    addTrack() {}
    setConfiguration() {}
    async setLocalDescription() {}
    async setRemoteDescription() {}
    close() { this.closed = true; }
}

/** A room with ourselves, of order 2, and members of these orders; `sent` is what it says. */
function roomOf(...orders) {
    const sent = [];
    const request = async (type, { to, data }) => { sent.push({ type, to, data }); return {}; };
    const room = new Room({ request }, "r", {});
    const members = orders.map((order) => ({ id: `m_${order}`, user: null, order, meta: null, joined_at: 0 }));
    const data = { room: "r", self: { id: "m", order: 2 }, role: "", rseq: 1, members };
    room.receive({ type: "joined", room: "r", data });
    return { room, sent, members };
}

const originals = { MediaStream: globalThis.MediaStream, RTCPeerConnection: globalThis.RTCPeerConnection };
beforeEach(() => { Object.assign(globalThis, { MediaStream: class { addTrack() {} }, RTCPeerConnection: Connection }); });
afterEach(() => { Object.assign(globalThis, originals); });

test("a member that says bye has ended its call, which is no message, and may call again", () => {
    const { room } = roomOf(1);
    const heard = [];
    room.on("message", (message) => heard.push(message));
    room.call();
    const first = room.peers.get("m_1");
    room.receive({ type: "bye", room: "r", from: "m_1", data: null });
    assert.deepEqual([heard, first.connection.closed, room.peers.size, room.members.size], [[], true, 0, 1]);
    room.receive({ type: "candidate", room: "r", from: "m_1", data: null });
    assert.equal(room.peers.size, 0);
    room.receive({ type: "offer", room: "r", from: "m_1", data: { type: "offer", sdp: "v=0" } });
    assert.notEqual(room.peers.get("m_1"), first);
    room.hangUp();
});

test("who hangs up says bye, and who calls again asks the one for an offer that makes it", () => {
    const { room, sent } = roomOf(1, 3);
    room.call();
    room.hangUp();
    assert.deepEqual(sent.splice(0), ["m_1", "m_3"].map((to) => ({ type: "bye", to, data: null })));
    room.call();
    assert.deepEqual(sent.splice(0), [{ type: "restart", to: "m_3", data: null }]);
    room.end("left");
    assert.deepEqual(sent, [], "that is told by the server");
});

test("who is asked for an offer after a bye begins anew", () => {
    const { room } = roomOf(1);
    room.call();
    const first = room.peers.get("m_1");
    for (const type of ["bye", "restart"]) room.receive({ type, room: "r", from: "m_1", data: null });
    assert.ok(first.connection.closed);
    assert.deepEqual([room.peers.size, room.peers.get("m_1").polite], [1, true]);
    room.hangUp();
});

for (const [reason, state, stays] of [["timeout", "connected", true], ["timeout", "failed", false], ["leave", "connected", false]]) {
    test(`a connection that is ${state} ${stays ? "stays" : "ends"} with a member that went for ${reason}`, () => {
        const timers = new ManualTimers();
        try {
            const { room, members } = roomOf(1);
            room.call();
            const peer = room.peers.get("m_1");
            peer.connection.connectionState = state;
            const told = [];
            room.on("left", ({ id }, why) => told.push(id, why));
            const leave = (rseq) => room.receive({ type: "member.left", room: "r", data: { rseq, members: [{ id: "m_1", reason }] } });
            leave(2);
            assert.deepEqual([told, room.members.size, !peer.connection.closed], [["m_1", reason], 0, stays]);
            if (!stays) return;
            room.receive({ type: "member.joined", room: "r", data: { rseq: 3, members } });
            timers.tick(300_000);
            assert.deepEqual([room.peers.get("m_1") === peer, peer.connection.closed], [true, undefined], "it came back");
            leave(4);
            timers.tick(119_000);
            assert.equal(peer.connection.closed, undefined);
            timers.tick(1_000);
            assert.deepEqual([room.peers.size, peer.connection.closed], [0, true], "its session is gone by now");
        } finally {
            timers.restore();
        }
    });
}

test("a member that is away goes with its connection", () => {
    const { room } = roomOf(1);
    room.call();
    const { connection } = room.peers.get("m_1");
    connection.connectionState = "connected";
    room.receive({ type: "member.left", room: "r", data: { rseq: 2, members: [{ id: "m_1", reason: "timeout" }] } });
    connection.connectionState = "failed";
    connection.onconnectionstatechange();
    assert.deepEqual([room.peers.size, connection.closed], [0, true]);
});

test("a fresh token for a room counts there, and when it is joined again", async () => {
    const sent = [];
    const room = new Room({ request: async (type, fields) => { sent.push([type, fields]); } }, "r", { token: "old", meta: 1 });
    await room.renew("new");
    await room.enter();
    assert.deepEqual(sent, [
        ["token", { room: "r", data: { token: "new" } }], ["join", { room: "r", data: { token: "new", meta: 1 } }],
    ]);
});

test("a room that cannot be joined again just now is joined when it can, and what is refused is told", async () => {
    const timers = new ManualTimers();
    try {
        const answers = [new SignalingError("engine_unavailable", "", 400), null, new SignalingError("banned", "")];
        const room = new Room({ request: async () => { const error = answers.shift(); if (error) throw error; } }, "r", {});
        const closed = [];
        room.on("closed", (reason) => closed.push(reason));
        const back = room.enterAgain();
        for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
        assert.deepEqual([answers.length, room.isIn], [2, false]);
        timers.tick(400);
        await back;
        assert.deepEqual([answers.length, room.isIn, closed], [1, true, []]);
        await room.enterAgain();
        assert.deepEqual(closed, ["banned"]);
    } finally {
        timers.restore();
    }
});

test("what is said of the room is known, and is no message of who said it", () => {
    const { room } = roomOf(1);
    const heard = [];
    room.on("message", ({ type }) => heard.push("message", type));
    room.on("frame", ({ type }) => heard.push("frame", type));
    for (const [rseq, meta] of [[2, { topic: "tea" }], [1, { topic: "old" }]]) {
        room.receive({ type: "room.updated", room: "r", from: "m_1", data: { room: "r", rseq, meta } });
    }
    assert.deepEqual([room.meta, heard], [{ topic: "tea" }, ["frame", "room.updated"]]);
});
