import assert from "node:assert/strict";
import { test } from "node:test";

import { OPENERS } from "../dist/transports.js";

/** The edge: what a browser brings along. */
class Socket {
    static made = [];

    constructor(url) {
        this.url = url;
        Socket.made.push(this);
    }

    send() {}
    close(code) { this.closed = code; }
}

test("a session ends with its client, and not with a connection that is only given up", () => {
    const asked = [];
    const { WebSocket, fetch } = globalThis;
    Object.assign(globalThis, { WebSocket: Socket, fetch: async (...request) => { asked.push(request); } });
    try {
        for (const leave of [false, true]) {
            const transport = OPENERS.websocket("https://signal.example", { v: 1 }, { frame() {}, closed() {} }, "once");
            const socket = Socket.made.at(-1);
            socket.onmessage({ data: JSON.stringify({ type: "welcome", data: { sid: "s_1", key: "k" } }) });
            transport.close(leave);
            assert.equal(socket.closed, 1000);
        }
    } finally {
        Object.assign(globalThis, { WebSocket, fetch });
    }
    const headers = { Authorization: "Bearer k" };
    assert.deepEqual(asked, [["https://signal.example/v1/sessions/s_1", { method: "DELETE", headers, keepalive: true }]]);
});

test("requests bring as many frames as the server takes at once", async () => {
    const { fetch } = globalThis;
    const brought = [];
    globalThis.fetch = async (url, { method, body, signal }) => {
        if (url.endsWith("/messages")) {
            const frames = JSON.parse(body);
            brought.push(frames.length);
            return Response.json({ results: frames.map(() => ({ ok: true })) }, { status: 202 });
        }
        if (method === "POST") return Response.json({ sid: "s", key: "k", epoch: "e", resumed: false }, { status: 201 });
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("over"))));
    };
    try {
        const transport = OPENERS.poll("https://signal.example", { v: 1 }, { frame() {}, closed() {} }, "once");
        await new Promise((resolve) => { setTimeout(resolve, 5); });
        const sizes = [30_000, 30_000, 30_000, 70_000, ...Array(40).fill(10)];
        transport.send(sizes.map((size) => ({ type: "message", data: "x".repeat(size) })));
        while (brought.reduce((sum, one) => sum + one, 0) < sizes.length) await new Promise((resolve) => { setTimeout(resolve, 1); });
        assert.deepEqual(brought, [2, 1, 1, 32, 8]);
        transport.close(false);
    } finally {
        globalThis.fetch = fetch;
    }
});
