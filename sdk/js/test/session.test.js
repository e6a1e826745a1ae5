import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { isFinal, pause } from "../dist/backoff.js";
import { Client } from "../dist/client.js";
import { Session } from "../dist/session.js";
import { closeCode } from "../dist/transports.js";
import { ManualTimers } from "./timers.js";

/** The edge of the session: transports that a test speaks through. */
class Lines {
    opened = [];

    constructor() {
        const opener = (name) => (base, hello, listener, once) => {
            const line = { name, base, hello, listener, once, sent: [], closed: false };
            this.opened.push(line);
            return { send: (frames) => line.sent.push(...frames), close: () => { line.closed = true; } };
        };
        this.edge = {
            openers: { websocket: opener("websocket"), sse: opener("sse"), poll: opener("poll") },
            random: () => 0.5,
        };
    }

    get last() { return this.opened.at(-1); }
}

const welcome = (fields = {}) => ({
    type: "welcome", ...(fields.resumed ? {} : { seq: 1 }), data: { sid: "s", key: "k", epoch: "e", resumed: false, ...fields },
});
const flushed = async () => { for (let turn = 0; turn < 10; turn += 1) await Promise.resolve(); };

let lines, session, timers;
beforeEach(async () => {
    timers = new ManualTimers();
    lines = new Lines();
    session = new Session("wss://signal.example/", { token: async () => "jwt" }, lines.edge);
    await session.open();
});
afterEach(() => {
    session.close();
    timers.restore();
});

test("hello names the token, and nothing to resume at first", () => {
    assert.equal(lines.last.base, "https://signal.example");
    assert.deepEqual(lines.last.hello, { v: 1, token: "jwt", client: { name: "fairlead-client", version: "0.1.0" } });
});

test("what is asked for again, and in the same words, goes by the same name until it is answered", async () => {
    const again = async (code = 1006) => {
        lines.last.listener.closed(code, "");
        timers.tick(60_000);
        await flushed();
        return lines.last.once;
    };
    const first = lines.last.once;
    assert.match(first, /^[0-9a-f]{32}$/);
    assert.equal(await again(), first);
    lines.last.listener.frame(welcome());
    const resumed = await again();
    assert.notEqual(resumed, first);
    assert.equal(await again(), resumed);
    lines.last.listener.frame(welcome({ resumed: true }));
    assert.notEqual(await again(), resumed, "the same words, but it was answered");
});

test("a lost connection is resumed behind the last frame, and what got no reply is sent again under its id", async () => {
    lines.last.listener.frame(welcome());
    lines.last.listener.frame({ type: "message", seq: 2, room: "r", from: "m", data: 1 });
    const reply = session.request("message", { room: "r", to: "*", data: 2 });
    assert.deepEqual(lines.last.sent, [{ type: "message", id: "c1", room: "r", to: "*", data: 2, ack: 2 }]);
    lines.last.listener.closed(1006, "");
    timers.tick(250);
    await flushed();
    assert.equal(lines.opened.length, 2);
    assert.deepEqual(lines.last.hello.resume, { sid: "s", key: "k", after: "e.2" });
    lines.last.listener.frame(welcome({ resumed: true }));
    assert.deepEqual(lines.last.sent.map(({ id }) => id), ["c1"]);
    lines.last.listener.frame({ type: "ok", re: "c1" });
    assert.equal((await reply).type, "ok");
});

test("a frame that comes twice is told once, and pings are answered with what was seen", () => {
    const seen = [];
    session.on("frame", ({ seq }) => seen.push(seq));
    lines.last.listener.frame(welcome());
    for (const seq of [2, 3, 3, 2, 4]) lines.last.listener.frame({ type: "x.any", seq });
    lines.last.listener.frame({ type: "ping" });
    assert.deepEqual(seen, [2, 3, 4]);
    assert.deepEqual(lines.last.sent, [{ type: "pong", ack: 4 }]);
});

test("what was seen is acknowledged before the server's log is full", () => {
    lines.last.listener.frame(welcome());
    for (let seq = 2; seq < 200; seq += 1) lines.last.listener.frame({ type: "x.any", seq });
    assert.deepEqual(lines.last.sent, [64, 128, 192].map((ack) => ({ type: "pong", ack })));
});

test("a refusal rejects with its code, and unknown frames are passed on", async () => {
    const seen = [];
    session.on("frame", ({ type }) => seen.push(type));
    lines.last.listener.frame(welcome());
    const reply = session.request("join", { room: "r" });
    lines.last.listener.frame({ type: "error", re: "c1", data: { code: "room_full", message: "full", retry_after_ms: 9 } });
    await assert.rejects(reply, { name: "SignalingError", code: "room_full", retryAfterMs: 9 });
    for (const type of ["quota", "from.the.future"]) lines.last.listener.frame({ type, seq: 2 + seen.length });
    assert.deepEqual(seen, ["quota", "from.the.future"]);
});

test("a WebSocket that never opens gives way to HTTP, and one that did is tried again", async () => {
    for (let time = 0; time < 3; time += 1) {
        lines.last.listener.closed(1006, "");
        timers.tick(20_000);
        await flushed();
    }
    assert.deepEqual(lines.opened.map(({ name }) => name), ["websocket", "sse", "poll", "websocket"]);
    lines.last.listener.frame(welcome());
    for (let time = 0; time < 2; time += 1) {
        lines.last.listener.closed(1006, "");
        timers.tick(20_000);
        await flushed();
    }
    assert.equal(lines.last.name, "websocket");
});

test("silence is an end as well, and the session is not left by it", async () => {
    lines.last.listener.frame(welcome());
    timers.tick(40_000);
    assert.ok(lines.opened[0].closed);
    lines.opened[0].listener.frame({ type: "x.late", seq: 2 });
    timers.tick(20_000);
    await flushed();
    assert.equal(lines.last.hello.resume.after, "e.1");
});

test("a drain says when to come back", async () => {
    lines.last.listener.frame(welcome());
    lines.last.listener.frame({ type: "drain", data: { retry_ms: 1500 } });
    lines.last.listener.closed(4200, "drain");
    timers.tick(1499);
    await flushed();
    assert.equal(lines.opened.length, 1);
    timers.tick(1);
    await flushed();
    assert.equal(lines.opened.length, 2);
});

test("the end is the end", async () => {
    const statuses = [];
    session.on("status", ({ state }) => statuses.push(state));
    lines.last.listener.frame(welcome());
    const reply = session.request("message", { room: "r", to: "*" });
    lines.last.listener.closed(4006, "kicked");
    await assert.rejects(reply, { code: "4006" });
    await assert.rejects(session.request("ping"), { code: "closed" });
    timers.tick(60_000);
    assert.equal(lines.opened.length, 1);
    assert.deepEqual(statuses, ["connected", "closed"]);
});

test("a session that is lost is another one, in which rooms are joined again", async () => {
    const client = new Client(session);
    lines.last.listener.frame(welcome());
    const joining = client.join("r", { meta: { name: "A" } });
    const self = { id: "m_1", order: 1 };
    const other = { id: "m_2", user: null, order: 2, meta: null, joined_at: 0 };
    const joined = { room: "r", self, members: [other], role: "member", rseq: 2 };
    lines.last.listener.frame({ type: "joined", re: "c1", seq: 2, room: "r", data: joined });
    // Sent at once behind it, as a poll brings them.
    lines.last.listener.frame({ type: "member.joined", seq: 3, room: "r", data: { rseq: 3, members: [{ ...other, id: "m_3" }] } });
    const room = await joining;
    assert.deepEqual([...room.members.keys()], ["m_2", "m_3"]);
    const left = [];
    room.on("left", ({ id }) => left.push(id));
    const message = room.send("lost");
    lines.last.listener.closed(1006, "");
    timers.tick(20_000);
    await flushed();
    lines.last.listener.frame(welcome({ sid: "s2", epoch: "f", reason: "unknown" }));
    await assert.rejects(message, { code: "session_expired" });
    assert.deepEqual(lines.last.sent.map(({ type, room: name, data }) => [type, name, data]), [["join", "r", { meta: { name: "A" } }]]);
    lines.last.listener.frame({
        type: "joined", re: lines.last.sent[0].id, seq: 2, room: "r", data: { ...joined, self: { id: "m_9", order: 3 }, members: [] },
    });
    assert.deepEqual([room.id, left], ["m_9", ["m_2", "m_3"]]);
    const closed = [];
    room.on("closed", (reason) => closed.push(reason));
    lines.last.listener.closed(4006, "kicked");
    assert.deepEqual([closed, client.rooms.size], [["4006"], 0]);
});

test("the pause grows, with jitter, and minds what the server says", () => {
    assert.deepEqual([0, 1, 2, 9].map((attempts) => pause(attempts, 1006, null, () => 1)), [500, 1000, 2000, 20_000]);
    assert.equal(pause(3, 4104, null, () => 0), 1000);
    assert.equal(pause(9, 4200, 7, () => 1), 7);
    assert.deepEqual([1000, 4006, 4099, 1006, 4100, 4200].map(isFinal), [true, true, true, false, false, false]);
});

test("what a WebSocket would have been closed with", () => {
    assert.equal(closeCode(401, "token_expired"), 4106);
    assert.deepEqual([401, 403, 409, 410, 429, 503, 413].map((status) => closeCode(status)), [4001, 4005, 4010, 4103, 4103, 4103, 4013]);
});
