import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { isFinal, pause } from "../dist/backoff.js";
import { Client, connect } from "../dist/client.js";
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

test("a drained client goes where it was pointed to, and home again when nobody is met there", async () => {
    const again = async (code) => {
        lines.last.listener.closed(code, "");
        timers.tick(60_000);
        await flushed();
        return lines.last.base;
    };
    lines.last.listener.frame(welcome());
    const alternatives = ["https://signal.example", "http://plain.example", "https://b.example"];
    lines.last.listener.frame({ type: "drain", data: { retry_ms: 0, alternatives } });
    assert.equal(await again(4200), "https://b.example", "neither what drains, nor what is less secure");
    lines.last.listener.frame(welcome({ resumed: true }));
    assert.equal(await again(1006), "https://b.example", "where it was met it is looked for first");
    assert.equal(await again(1006), "https://signal.example");
    assert.equal(await again(1006), "https://b.example");
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

// A way that brings nothing

test("a WebSocket on which nothing comes is given up for the next way, which stays", async () => {
    timers.tick(10_000);
    timers.tick(60_000);
    await flushed();
    assert.deepEqual(lines.opened.map(({ name }) => name), ["websocket", "sse"]);
    assert.ok(lines.opened[0].closed);
    lines.last.listener.frame(welcome());
    timers.tick(39_000);
    assert.equal(lines.opened.length, 2);
});

test("a WebSocket that has worked is tried again before another way", async () => {
    lines.last.listener.frame(welcome());
    lines.last.listener.closed(1006, "");
    timers.tick(1_000);
    await flushed();
    timers.tick(10_000);
    timers.tick(60_000);
    await flushed();
    assert.deepEqual(lines.opened.map(({ name }) => name), ["websocket", "websocket", "websocket"]);
});

// The token

test("a renewed token is the one of the next hello", async () => {
    session.close();
    const own = new Session("https://signal.example", { token: "old" }, lines.edge);
    await own.open();
    lines.last.listener.frame(welcome());
    const renewed = own.renew("new");
    lines.last.listener.frame({ type: "ok", re: lines.last.sent.at(-1).id });
    await renewed;
    lines.last.listener.closed(1006, "");
    timers.tick(30_000);
    await flushed();
    assert.equal(lines.last.hello.token, "new");
    own.close();
});

// Many frames

test("of many frames so many are under way as the server answers, and the others follow in their order", async () => {
    lines.last.listener.frame(welcome());
    const replies = Array.from({ length: 100 }, (_, data) => session.request("message", { room: "r", to: "*", data }));
    assert.deepEqual(lines.last.sent.map(({ data }) => data), Array.from({ length: 64 }, (_, data) => data));
    lines.last.listener.frame({ type: "ok", re: lines.last.sent[0].id });
    assert.equal(lines.last.sent.at(-1).data, 64);
    while (lines.last.sent.length < 100) lines.last.listener.frame({ type: "ok", re: lines.last.sent[lines.last.sent.length - 64].id });
    for (const { id } of lines.last.sent) lines.last.listener.frame({ type: "ok", re: id });
    await Promise.all(replies);
    assert.deepEqual(lines.last.sent.map(({ data }) => data), Array.from({ length: 100 }, (_, data) => data));
});

test("what wants a reply has a bound", async () => {
    const replies = Array.from({ length: 1025 }, () => session.request("message", { room: "r", to: "*" }));
    await assert.rejects(replies.at(-1), { code: "too_many_waiting" });
    for (const reply of replies) reply.catch(() => {});
});

test("a frame that was too fast is sent again when the server says, before those behind it", async () => {
    lines.last.listener.frame(welcome());
    const replies = [1, 2].map((data) => session.request("message", { room: "r", to: "*", data }));
    for (const { id } of [...lines.last.sent]) {
        lines.last.listener.frame({ type: "error", re: id, data: { code: "rate_limited", message: "", retry_after_ms: 20 } });
    }
    replies.push(session.request("message", { room: "r", to: "*", data: 3 }));
    timers.tick(19);
    assert.deepEqual(lines.last.sent.map(({ data }) => data), [1, 2]);
    timers.tick(1);
    assert.deepEqual(lines.last.sent.map(({ data }) => data), [1, 2, 1, 2, 3]);
    for (const { id } of [...lines.last.sent]) lines.last.listener.frame({ type: "ok", re: id });
    await Promise.all(replies);
});

test("a join that asks too often is told so", async () => {
    lines.last.listener.frame(welcome());
    const joining = session.request("join", { room: "r", data: { password: "wrong" } });
    const data = { code: "rate_limited", message: "", retry_after_ms: 12_000, details: { limit: "passwords" } };
    lines.last.listener.frame({ type: "error", re: lines.last.sent[0].id, data });
    await assert.rejects(joining, { code: "rate_limited", retryAfterMs: 12_000 });
});

test("a join that comes while many passwords are checked is asked for again", async () => {
    lines.last.listener.frame(welcome());
    const joining = session.request("join", { room: "r", data: { password: "right" } });
    const [{ id }] = lines.last.sent;
    const data = { code: "rate_limited", message: "", retry_after_ms: 1000, details: { limit: "hashes" } };
    lines.last.listener.frame({ type: "error", re: id, data });
    timers.tick(1000);
    assert.deepEqual(lines.last.sent.map((frame) => frame.id), [id, id]);
    lines.last.listener.frame({ type: "joined", re: id, room: "r", data: {} });
    await joining;
});

test("a join is settled by the room that is shown anew, where its reply is gone with the log", async () => {
    lines.last.listener.frame(welcome());
    const joining = session.request("join", { room: "r" });
    lines.last.listener.closed(1006, "");
    timers.tick(30_000);
    await flushed();
    lines.last.listener.frame(welcome({ epoch: "f" }));
    lines.last.listener.frame({ type: "joined", seq: 2, room: "other", data: {} });
    lines.last.listener.frame({ type: "joined", seq: 3, room: "r", data: { rseq: 7 } });
    assert.equal((await joining).data.rseq, 7);
});

// A session that is lost

const joined = (re) => ({
    type: "joined", seq: 2, re, room: "r",
    data: { room: "r", self: { id: "m", order: 1 }, members: [], role: "", rseq: 1 },
});
const another = async () => {
    lines.last.listener.closed(1006, "");
    timers.tick(30_000);
    await flushed();
    lines.last.listener.frame(welcome({ sid: "s2", epoch: "e2", reason: "unknown" }));
    await flushed();
};

test("a join under way when the session is lost is asked for once in the next", async () => {
    const client = new Client(session);
    lines.last.listener.frame(welcome());
    const joining = client.join("r");
    await another();
    assert.deepEqual(lines.last.sent.map(({ type }) => type), ["join"]);
    lines.last.listener.frame(joined(lines.last.sent[0].id));
    assert.equal((await joining).id, "m");
    assert.deepEqual([...client.rooms.keys()], ["r"]);
});

test("who was leaving when the session was lost has left", async () => {
    const client = new Client(session);
    lines.last.listener.frame(welcome());
    const joining = client.join("r");
    lines.last.listener.frame(joined(lines.last.sent[0].id));
    const leaving = (await joining).leave();
    await another();
    await leaving;
    assert.deepEqual(lines.last.sent, []);
    assert.deepEqual([...client.rooms.keys()], []);
});

test("what is no address of a server is said at once", async () => {
    for (const server of ["signal.example.org", "localhost:8080", ""]) {
        await assert.rejects(connect(server), { name: "SignalingError", code: "bad_request" });
    }
});

test("a way that may not even be tried gives way to the next", async () => {
    const forbidden = () => { throw new Error("SecurityError"); };
    const edge = { ...lines.edge, openers: { ...lines.edge.openers, websocket: forbidden } };
    const another = new Session("http://signal.example", {}, edge);
    const told = [];
    another.on("status", (status) => told.push(status.state, status.code));
    await another.open();
    timers.tick(20_000);
    await flushed();
    assert.deepEqual([lines.last.name, told.slice(0, 4)], ["sse", ["connecting", undefined, "waiting", 1006]]);
    another.close();
});

test("a frame that the server would hang up on is refused here, and so is what is no JSON", async () => {
    const early = session.request("message", { room: "r", data: "é".repeat(500) });
    lines.last.listener.frame(welcome({ limits: { frame_bytes: 1000 } }));
    await assert.rejects(early, { code: "frame_too_large" });
    await assert.rejects(session.request("message", { data: 1n }), { code: "bad_request" });
    session.request("message", { room: "r", data: "é".repeat(400) }).catch(() => {});
    assert.deepEqual(lines.last.sent.map(({ id }) => id), ["c3"]);
});
