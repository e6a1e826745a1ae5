import assert from "node:assert/strict";
import { test } from "node:test";

import { outcomeOf, Peer, sessionOf } from "../dist/peer.js";
import { outcome } from "../dist/report.js";

globalThis.MediaStream ??= class { addTrack() {} getTracks() { return []; } };

let made = 0;

/** The edge: a browser's connection as the specification describes its states, without a network. */
class Connection {
    signalingState = "stable";
    connectionState = "new";
    localDescription = null;
    candidates = [];
    restarts = 0;
    closed = false;

    constructor(configuration) {
        this.configuration = configuration;
        this.session = `${made += 1}`;
    }

    createDataChannel() {
        queueMicrotask(() => { if (this.signalingState === "stable") this.onnegotiationneeded(); });
        return this.channel = { readyState: "connecting" };
    }

    async setLocalDescription() {
        const type = this.signalingState === "have-remote-offer" ? "answer" : "offer";
        this.signalingState = type === "offer" ? "have-local-offer" : "stable";
        this.localDescription = { type, sdp: `v=0\r\no=- ${this.session} 2 IN IP4 127.0.0.1\r\n` };
    }

    async setRemoteDescription({ type, sdp }) {
        this.remoteDescription = { type, sdp };
        this.signalingState = type === "offer" ? "have-remote-offer" : "stable";
    }

    async addIceCandidate(candidate) { this.candidates.push(candidate); }
    setConfiguration(configuration) { this.configuration = configuration; }
    restartIce() { this.restarts += 1; }
    close() { this.closed = true; }
    async getStats() { return new Map(); }
}

function pair() {
    const sides = [1, 2].map((order) => {
        const side = { sent: [], connections: [] };
        side.peer = new Peer({
            member: { id: `m${3 - order}`, user: null, order: 3 - order, meta: null, joined_at: 0 },
            polite: order === 2,
            configuration: {},
            send: (type, data) => side.sent.push({ type, data }),
            make: (configuration) => {
                side.connections.push(new Connection(configuration));
                return side.connections.at(-1);
            },
        });
        return side;
    });
    return sides;
}

const settled = () => new Promise((resolve) => { setTimeout(resolve, 1); });

async function exchange(...sides) {
    for (let round = 0; round < 8; round += 1) {
        await settled();
        sides.forEach((side, index) => {
            for (const frame of side.sent.splice(0)) sides[1 - index].peer.receive(frame);
        });
    }
}

test("the polite one makes the first offer, and both are connected to each other's", async () => {
    const [impolite, polite] = pair();
    await settled();
    assert.deepEqual([impolite.sent.length, polite.sent.length], [0, 1]);
    await exchange(impolite, polite);
    const [one, other] = [impolite.peer.connection, polite.peer.connection];
    assert.deepEqual([one.signalingState, other.signalingState], ["stable", "stable"]);
    assert.equal(sessionOf(one.remoteDescription), other.session);
    assert.equal(sessionOf(other.remoteDescription), one.session);
});

test("offers that collide: the polite one gives way", async () => {
    const [impolite, polite] = pair();
    await exchange(impolite, polite);
    impolite.peer.connection.onnegotiationneeded();
    polite.peer.connection.onnegotiationneeded();
    await exchange(impolite, polite);
    assert.deepEqual(
        [impolite.peer.connection.signalingState, polite.peer.connection.signalingState], ["stable", "stable"],
    );
    assert.equal(polite.peer.connection.remoteDescription.type, "offer");
    assert.equal(impolite.peer.connection.remoteDescription.type, "answer");
});

for (const beginner of [0, 1]) {
    test(`who meets a member that has begun anew begins anew as well (${beginner ? "polite" : "impolite"})`, async () => {
        const [impolite, polite] = pair();
        await exchange(impolite, polite);
        const fresh = pair()[beginner];
        const sides = [impolite, polite];
        sides[beginner] = fresh;
        await settled();
        if (!beginner) polite.peer.connection.onnegotiationneeded();
        await exchange(...sides);
        const [one, other] = sides.map(({ peer }) => peer.connection);
        assert.ok(sides[1 - beginner].connections[0].closed);
        assert.equal(sessionOf(one.remoteDescription), other.session);
        assert.equal(sessionOf(other.remoteDescription), one.session);
        assert.deepEqual([one.signalingState, other.signalingState], ["stable", "stable"]);
    });
}

test("candidates are added in their order, the last one as the end", async () => {
    const [impolite, polite] = pair();
    await exchange(impolite, polite);
    impolite.peer.receive({ type: "candidates", data: [{ candidate: "1" }, { candidate: "2" }] });
    impolite.peer.receive({ type: "candidate", data: null });
    await settled();
    assert.deepEqual(impolite.peer.connection.candidates, [{ candidate: "1" }, { candidate: "2" }, undefined]);
});

test("fresh credentials are set, and a restart looks for another way", async () => {
    const [, polite] = pair();
    polite.peer.configure([{ urls: "turn:example.org", username: "u", credential: "c" }]);
    polite.peer.restart();
    polite.peer.receive({ type: "restart" });
    await settled();
    assert.equal(polite.peer.connection.configuration.iceServers[0].username, "u");
    assert.equal(polite.peer.connection.restarts, 2);
});

test("the outcome says which way it went", async () => {
    const stats = [
        { id: "T", type: "transport", selectedCandidatePairId: "P" },
        { id: "P", type: "candidate-pair", localCandidateId: "L" },
        { id: "L", type: "local-candidate", candidateType: "relay", protocol: "udp", relayProtocol: "tls" },
    ];
    const connection = { getStats: async () => new Map(stats.map((entry) => [entry.id, entry])) };
    assert.deepEqual(await outcome(connection, "connected", 12.4), {
        outcome: "connected", connect_ms: 12, path: "relay", protocol: "tls",
    });
    assert.deepEqual(await outcome(connection, "failed", 9), { outcome: "failed", connect_ms: 9 });
    assert.deepEqual(await outcome(connection, "lost", 9), { outcome: "lost" });
    let asked = 0;
    const late = { getStats: async () => (asked += 1) < 3 ? new Map() : connection.getStats() };
    assert.equal((await outcome(late, "connected", 1, async () => {})).path, "relay");
    const never = { getStats: async () => new Map() };
    assert.deepEqual(await outcome(never, "connected", 1, async () => {}), { outcome: "connected", connect_ms: 1 });
    const states = ["connecting", "connected", "disconnected", "failed", "failed", "connected"];
    const told = states.reduce((seen, state) => [...seen, outcomeOf(state, seen.findLast((one) => one) ?? null)], []);
    assert.deepEqual(told, [null, "connected", null, "lost", null, null]);
});
