/** The three ways to a session. Each brings frames in their order, takes frames, and says how it ended. */

import type { ClientFrame, Hello, ServerFrame, Welcome } from "./frames.js";
import { eventsOf } from "./sse.js";

export type TransportName = "websocket" | "sse" | "poll";

export interface Listener {
    frame(frame: ServerFrame): void;
    /** Once, and nothing after it; the codes are those of a WebSocket. */
    closed(code: number, reason: string): void;
}

export interface Transport {
    send(frames: ClientFrame[]): void;
    /** Ends the connection; where `leave` says so, and there is a way to say it, the session with it. */
    close(leave: boolean): void;
}

/** `once` names the attempt: where the answer to it was lost, another under the same name has no second effect. */
export type Opener = (base: string, hello: Hello, listener: Listener, once: string) => Transport;

const MOST_FRAMES = 32; // that one request may bring
const MOST_BYTES = 65536; // of them, where there are several
const POLL = 25; // seconds
/** Frames whose answer is a frame of its own. */
const ANSWERED = new Set(["join"]);
const FAILED = 1006;

const encoder = new TextEncoder();

/** Bytes of what is sent as JSON. Throws for what is none. */
export const sizeOf = (frame: unknown): number => encoder.encode(JSON.stringify(frame)).length;

/** Ends a session. The page may be going: keepalive lets this one request outlive it. */
function forget(url: string, key: string): void {
    const headers = { Authorization: `Bearer ${key}` };
    void fetch(url, { method: "DELETE", headers, keepalive: true }).catch(() => {});
}

const websocket: Opener = (base, hello, listener) => {
    const socket = new WebSocket(`${base.replace(/^http/, "ws")}/v1/ws`, "sig.v1");
    let over = false;
    let session: Welcome | null = null;
    const end = (code: number, reason: string) => {
        if (over) return;
        over = true;
        listener.closed(code, reason);
    };
    socket.onopen = () => socket.send(JSON.stringify({ type: "hello", data: hello }));
    socket.onmessage = ({ data }) => {
        if (over) return;
        const frame: ServerFrame = JSON.parse(data);
        if (frame.type === "welcome") session = frame.data;
        listener.frame(frame);
    };
    socket.onclose = ({ code, reason }) => end(code, reason);
    return {
        send: (frames) => { for (const frame of frames) socket.send(JSON.stringify(frame)); },
        close: (leave) => {
            over = true;
            socket.close(1000);
            if (leave && session) forget(`${base}/v1/sessions/${session.sid}`, session.key);
        },
    };
};

/** How many of these one request may bring: one, whatever its size. */
function asMany(frames: ClientFrame[]): number {
    let count = 0, bytes = 0;
    while (count < Math.min(frames.length, MOST_FRAMES)) {
        bytes += sizeOf(frames[count]) + 1;
        if (count > 0 && bytes > MOST_BYTES) break;
        count += 1;
    }
    return count;
}

/** Over HTTP: a request opens the session, one at a time brings frames, and events come by a stream or by polls. */
class Http implements Transport {
    #abort = new AbortController();
    #queue: ClientFrame[] = [];
    #posting = false;
    #over = false;
    #url = "";
    #key = "";

    constructor(readonly base: string, hello: Hello, readonly listener: Listener, once: string, readonly streams: boolean) {
        void this.#run(hello, once).catch((error) => this.#end(FAILED, String(error)));
    }

    send(frames: ClientFrame[]): void {
        this.#queue.push(...frames);
        if (!this.#posting) void this.#post().catch((error) => this.#end(FAILED, String(error)));
    }

    close(leave: boolean): void {
        this.#over = true;
        this.#abort.abort();
        if (leave && this.#url) forget(this.#url, this.#key);
    }

    async #run(hello: Hello, once: string): Promise<void> {
        const opened = await this.#ask(`${this.base}/v1/sessions`, {
            method: "POST", body: JSON.stringify(hello), headers: { "Idempotency-Key": once },
        });
        if (!opened) return;
        const welcome: Welcome = await opened.json();
        this.#key = welcome.key;
        this.#url = `${this.base}/v1/sessions/${welcome.sid}`;
        let after = welcome.resumed ? hello.resume!.after : `${welcome.epoch}.1`;
        const greeting: ServerFrame = welcome.resumed
            ? { type: "welcome", data: welcome } : { type: "welcome", seq: 1, data: welcome };
        if (!this.streams) this.#take(greeting);
        while (!this.#over) {
            const next = this.streams ? await this.#stream(after, greeting) : await this.#poll(after);
            if (next === null) return;
            after = next;
        }
    }

    /**
     * Reads one stream to its end; returns the position behind it, or null when all is over. The session stands when
     * something comes through: a proxy may hold the stream back.
     */
    async #stream(after: string, greeting: ServerFrame): Promise<string | null> {
        const reply = await this.#ask(`${this.#url}/events?after=${after}`, { headers: { Accept: "text/event-stream" } });
        if (!reply?.body) return null;
        let isFirst = true;
        for await (const { id, data } of eventsOf(reply.body)) {
            if (isFirst) this.#take(greeting);
            isFirst = false;
            if (this.#over) return null;
            if (id) after = id;
            if (!this.#take(JSON.parse(data))) return null;
        }
        this.#end(FAILED, "the stream ended");
        return null;
    }

    async #poll(after: string): Promise<string | null> {
        const reply = await this.#ask(`${this.#url}/events?after=${after}&wait=${POLL}`, {});
        if (!reply) return null;
        const { events, next } = await reply.json();
        for (const frame of events) if (!this.#take(frame)) return null;
        return next;
    }

    /** False when the frame was the last one. */
    #take(frame: ServerFrame): boolean {
        if (frame.type === "close") {
            this.#end(frame.data.code, frame.data.reason);
            return false;
        }
        if (!this.#over) this.listener.frame(frame);
        return !this.#over;
    }

    async #post(): Promise<void> {
        this.#posting = true;
        while (this.#queue.length && !this.#over) {
            const frames = this.#queue.splice(0, asMany(this.#queue));
            const reply = await this.#ask(`${this.#url}/messages`, { method: "POST", body: JSON.stringify(frames) });
            if (!reply) return;
            const { results } = await reply.json();
            results.forEach(({ ok, re, error }: { ok: boolean; re?: string; error?: unknown }, index: number) => {
                if (re === undefined || this.#over) return;
                if (!ok) this.listener.frame({ type: "error", re, data: error });
                else if (!ANSWERED.has(frames[index]!.type)) this.listener.frame({ type: "ok", re });
            });
        }
        this.#posting = false;
    }

    /** A reply that is good; otherwise the transport has ended, and that is all there is to know. */
    async #ask(url: string, init: RequestInit): Promise<Response | null> {
        const headers = { ...this.#headers(), ...init.headers as Record<string, string> };
        const reply = await fetch(url, { ...init, headers, signal: this.#abort.signal, cache: "no-store" });
        if (reply.ok && reply.status !== 204) return reply;
        const problem = await reply.json().catch(() => ({}));
        this.#end(closeCode(reply.status, problem.code), problem.detail ?? reply.statusText);
        return null;
    }

    #headers(): Record<string, string> {
        const headers: Record<string, string> = { "Content-Type": "application/json" };
        if (this.#key) headers["Authorization"] = `Bearer ${this.#key}`;
        return headers;
    }

    #end(code: number, reason: string): void {
        if (this.#over) return;
        this.#over = true;
        this.#abort.abort();
        this.listener.closed(code, reason);
    }
}

/** What a WebSocket would have been closed with. */
export function closeCode(status: number, code?: string): number {
    if (code === "token_expired") return 4106;
    if (status === 410 || status === 429 || status >= 500) return 4103;
    return { 400: 4000, 401: 4001, 403: 4005, 409: 4010, 413: 4013 }[status] ?? FAILED;
}

export const OPENERS: Record<TransportName, Opener> = {
    websocket,
    sse: (base, hello, listener, once) => new Http(base, hello, listener, once, true),
    poll: (base, hello, listener, once) => new Http(base, hello, listener, once, false),
};
