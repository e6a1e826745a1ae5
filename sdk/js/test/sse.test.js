import assert from "node:assert/strict";
import { test } from "node:test";

import { eventsOf } from "../dist/sse.js";

const streamOf = (...chunks) => new ReadableStream({
    start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk);
        controller.close();
    },
});
const read = async (...chunks) => {
    const events = [];
    for await (const event of eventsOf(streamOf(...chunks))) events.push(event);
    return events;
};
const bytes = (text) => new TextEncoder().encode(text);

test("events come out whole wherever the stream is cut", async () => {
    const text = "retry: 2000\n\nid: e.1\ndata: {\"a\":\"ä\"}\n\n: hb\n\ndata: {}\r\n\r\nid: e.2\ndata: 1\ndata:2\n\ndata: unfinished";
    const whole = bytes(text);
    const expected = [{ id: "e.1", data: '{"a":"ä"}' }, { id: "", data: "{}" }, { id: "e.2", data: "1\n2" }];
    for (let cut = 0; cut <= whole.length; cut += 1) {
        assert.deepEqual(await read(whole.slice(0, cut), whole.slice(cut)), expected);
    }
});
