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
