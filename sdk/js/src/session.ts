/**
 * One session that survives its connections: it resumes where it was, over whichever transport works, and sends again
 * what got no reply, under the same id, so that it takes effect once.
 */

import { isFinal, pause, SETTLED } from "./backoff.js";
import { Entrances } from "./entrances.js";
import { Emitter } from "./events.js";
import {
    SignalingError, type ClientFrame, type Hello, type Recipients, type ServerFrame, type Welcome,
} from "./frames.js";
import { OPENERS, sizeOf, type Listener, type Opener, type Transport, type TransportName } from "./transports.js";

const WATCHDOG = 40_000; // ms without any frame; the server pings every 25 s
const GREETING = 10_000; // ms from a connection to its welcome
const UNDER_WAY = 64; // frames that the server is asked to answer at once
const KEPT = 1024; // frames that wait for their reply, those behind them included
const ACK = 32; // bytes that an ack adds to a frame, at most
const ACK_EVERY = 64; // frames of the server without one of ours
const FAILED = 1006; // what the WebSocket protocol calls an end without a close
const SILENT = 4105; // what a server closes with that hears nothing
const VERSION = "0.1.0";

export type Token = string | (() => string | undefined | Promise<string | undefined>);

export interface SessionOptions {
    /** A JWT or a join key, or a function that is asked for one whenever a connection is made. */
    token?: Token;
    /** Tried in this order until one of them works. */
    transports?: TransportName[];
}

export type Status =
    | { state: "connecting"; transport: TransportName }
    | { state: "connected"; transport: TransportName }
    | { state: "waiting"; delay: number; code: number; reason: string }
    | { state: "closed"; code: number; reason: string };

export type SessionEvents = {
    status: [Status];
    /** `anew` says that the rooms of the session are gone and have to be joined again. */
    welcome: [Welcome, boolean];
    /** Every frame that is no reply, ping or welcome, also of types that this client does not know. */
    frame: [ServerFrame];
};

interface Waiting {
    frame: ClientFrame;
    /** In bytes, as it is written. */
    size: number;
    resolve(reply: ServerFrame): void;
    reject(error: SignalingError): void;
    /** Over the connection that there is. */
    isSent: boolean;
}

interface Edge {
    openers: Record<TransportName, Opener>;
    random: () => number;
}

export class Session extends Emitter<SessionEvents> {
    #entrances: Entrances;
    #options: SessionOptions;
    #edge: Edge;
    #order: TransportName[];
    #transport: Transport | null = null;
    #known: Welcome | null = null;
    /** What is asked for until it is answered, and the name of that. */
    #asked: { hello: string; once: string } | null = null;
    #isUp = false;
    #worked = new Set<TransportName>();
    #seq = 0;
    #acked = 0;
    #attempts = 0;
    #nextId = 1;
    #waiting = new Map<string, Waiting>();
    #drained: number | null = null;
    #closed = false;
    #timers: { watchdog?: any; retry?: any; settled?: any; held?: any } = {};

    constructor(base: string, options: SessionOptions = {}, edge: Edge = { openers: OPENERS, random: Math.random }) {
        super();
        if (!/^(http|ws)s?:\/\/./.test(base)) {
            throw new SignalingError("bad_request", `${base} is no address of a server; write https://HOST, or http://HOST:PORT`);
        }
        this.#entrances = new Entrances(base.replace(/^ws/, "http").replace(/\/+$/, ""));
        this.#options = { ...options };
        this.#edge = edge;
        this.#order = [...options.transports ?? ["websocket", "sse", "poll"] as const];
    }

    /** The id of the session, once there is one. */
    get sid(): string | null { return this.#known?.sid ?? null; }

    /** Connects, and from then on stays connected until it is closed. */
    async open(): Promise<void> {
        const name = this.#order[0]!;
        this.emit("status", { state: "connecting", transport: name });
        let token: string | undefined;
        try {
            token = typeof this.#options.token === "function" ? await this.#options.token() : this.#options.token;
        } catch (error) {
            this.#lost(4100, `no token: ${error}`);
            return;
        }
        if (this.#closed) return;
        const hello: Hello = { v: 1, client: { name: "fairlead-client", version: VERSION } };
        if (token !== undefined) hello.token = token;
        if (this.#known) {
            const { sid, key, epoch } = this.#known;
            hello.resume = { sid, key, after: `${epoch}.${this.#seq}` };
        }
        this.#watch(GREETING);
        // A transport may speak before its opener has returned.
        let mine: Transport | null = null;
        const isCurrent = () => !this.#closed && (mine === null || mine === this.#transport);
        const listener: Listener = {
            frame: (frame) => { if (isCurrent()) this.#receive(name, frame); },
            closed: (code, reason) => { if (isCurrent()) this.#lost(code, reason); },
        };
        const once = this.#once(JSON.stringify(hello));
        try {
            mine = this.#transport = this.#edge.openers[name](this.#entrances.current, hello, listener, once);
        } catch (error) {
            this.#lost(FAILED, String(error)); // A page on https may not even try a WebSocket without TLS.
        }
    }

    /** One name for as long as the same is asked for: nobody else can guess it, since it is answered with a key. */
    #once(hello: string): string {
        if (this.#asked?.hello !== hello) {
            const bytes = crypto.getRandomValues(new Uint8Array(16));
            this.#asked = { hello, once: [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("") };
        }
        return this.#asked.once;
    }

    /** Sends a frame; settles with its reply, also when the connection breaks in between. */
    request(type: string, fields: { room?: string; to?: Recipients; data?: unknown } = {}): Promise<ServerFrame> {
        const frame: ClientFrame = { type, id: `c${this.#nextId++}`, ...fields };
        if (this.#closed) return Promise.reject(new SignalingError("closed", "the session is closed"));
        if (this.#waiting.size >= KEPT) {
            return Promise.reject(new SignalingError("too_many_waiting", `${KEPT} frames wait for their reply already`));
        }
        let size: number;
        try {
            size = sizeOf(frame);
        } catch (error) {
            return Promise.reject(new SignalingError("bad_request", `this is no JSON: ${error}`));
        }
        const reply = new Promise<ServerFrame>((resolve, reject) => {
            this.#waiting.set(frame.id!, { frame, size, resolve, reject, isSent: false });
        });
        this.#send();
        return reply;
    }

    /** Replaces the token within the session, before the old one ends. */
    async renew(token: string): Promise<void> {
        await this.request("token", { data: { token } });
        if (typeof this.#options.token === "string") this.#options.token = token;
    }

    /** Ends the session for good. */
    close(): void {
        if (this.#closed) return;
        this.#transport?.close(true);
        this.#finish(1000, "closed by the application");
    }

    /** What belonged to a room that is gone gets no reply any more. */
    abandon(room: string): void {
        for (const [id, { frame, reject }] of this.#waiting) {
            if (frame.room !== room || frame.type === "join") continue;
            this.#waiting.delete(id);
            reject(new SignalingError("session_expired", "the session that this was sent in is gone"));
        }
    }

    /** The oldest of what waits is under way, in its order; the rest follows as replies come. */
    #send(): void {
        if (!this.#isUp || this.#timers.held !== undefined) return;
        const most = this.#known?.limits?.frame_bytes ?? Infinity;
        const frames: ClientFrame[] = [];
        let places = UNDER_WAY;
        for (const [id, one] of this.#waiting) {
            if (one.size + ACK > most) {
                // A server hangs up on it, for good.
                this.#waiting.delete(id);
                one.reject(new SignalingError("frame_too_large", `a frame holds at most ${most - ACK} bytes, and this one has ${one.size}`));
                continue;
            }
            if (places-- === 0) break;
            if (!one.isSent) frames.push(one.frame);
            one.isSent = true;
        }
        if (frames.length) this.#put(frames);
    }

    /** Too fast for the server: nothing is sent for so many ms. */
    #hold(ms: number): void {
        clearTimeout(this.#timers.held);
        this.#timers.held = setTimeout(() => {
            this.#timers.held = undefined;
            this.#send();
        }, ms);
    }

    #put(frames: ClientFrame[]): void {
        this.#acked = this.#seq;
        this.#transport?.send(frames.map((frame) => ({ ...frame, ack: this.#seq })));
    }

    #receive(name: TransportName, frame: ServerFrame): void {
        this.#watch(frame.type === "welcome" || this.#isUp ? WATCHDOG : GREETING);
        if (frame.seq !== undefined) {
            if (frame.type !== "welcome" && frame.seq <= this.#seq) return;
            this.#seq = frame.seq;
        }
        if (frame.type === "ping") this.#put([{ type: "pong" }]);
        else if (frame.type === "welcome") this.#welcome(name, frame.data);
        else {
            if (frame.type === "drain") {
                this.#drained = frame.data.retry_ms;
                this.#entrances.leave(frame.data.alternatives, this.#edge.random);
            }
            // A room hears of its `joined` in the order of the frames, not when whoever asked comes to it.
            if (frame.re === undefined || frame.type === "joined") this.emit("frame", frame);
            if (frame.re !== undefined) this.#settle(frame);
            else if (frame.type === "joined") this.#settleJoins(frame);
        }
        if (this.#seq - this.#acked >= ACK_EVERY) this.#put([{ type: "pong" }]);
    }

    #welcome(name: TransportName, welcome: Welcome): void {
        const before = this.#known;
        if (this.#isUp && before?.sid === welcome.sid && welcome.resumed) return; // A stream says it once more.
        const anew = before !== null && before.sid !== welcome.sid;
        if (before?.epoch !== welcome.epoch) this.#acked = 0;
        this.#known = welcome;
        this.#asked = null;
        this.#worked.add(name);
        clearTimeout(this.#timers.settled);
        this.#timers.settled = setTimeout(() => { this.#attempts = 0; }, SETTLED);
        this.emit("status", { state: "connected", transport: name });
        this.emit("welcome", welcome, anew);
        // Only now: what was given up at this news is not sent to a session that it does not belong to.
        this.#isUp = !this.#closed;
        this.#send();
    }

    /** The room is shown anew, since the log is gone, and with it the reply to a join that was under way. */
    #settleJoins(joined: ServerFrame): void {
        for (const [id, { frame, resolve }] of this.#waiting) {
            if (frame.type !== "join" || frame.room !== joined.room) continue;
            this.#waiting.delete(id);
            resolve(joined);
        }
        this.#send();
    }

    #settle(frame: ServerFrame): void {
        const entry = this.#waiting.get(frame.re!);
        if (!entry) return;
        const { code, message, retry_after_ms: wait, details } = frame.type === "error" ? frame.data : {};
        // Wrong passwords are made right by no repetition.
        if (code === "rate_limited" && wait !== undefined && details?.limit !== "passwords") {
            entry.isSent = false;
            this.#hold(wait);
            return;
        }
        this.#waiting.delete(frame.re!);
        if (code === undefined) entry.resolve(frame);
        else entry.reject(new SignalingError(code, message, wait));
        this.#send();
    }

    #lost(code: number, reason: string): void {
        clearTimeout(this.#timers.watchdog);
        clearTimeout(this.#timers.settled);
        const neverStood = !this.#isUp;
        this.#transport = null;
        this.#isUp = false;
        for (const one of this.#waiting.values()) one.isSent = false;
        if (isFinal(code)) {
            this.#finish(code, reason);
            return;
        }
        if (neverStood) this.#entrances.next();
        // A way that never worked, such as a WebSocket behind a proxy that knows none, is tried last from now on; one
        // that did work may try again a few times, since it may be the server that is away.
        const mayStay = this.#worked.has(this.#order[0]!) && this.#attempts % 4 !== 3;
        if (neverStood && (code < 4000 || code === SILENT) && !mayStay) this.#order.push(...this.#order.splice(0, 1));
        const delay = pause(this.#attempts, code, this.#drained, this.#edge.random);
        this.#drained = null;
        this.#attempts += 1;
        this.emit("status", { state: "waiting", delay, code, reason });
        this.#timers.retry = setTimeout(() => void this.open(), delay);
    }

    #finish(code: number, reason: string): void {
        this.#closed = true;
        this.#isUp = false;
        for (const timer of Object.values(this.#timers)) clearTimeout(timer);
        for (const { reject } of this.#waiting.values()) reject(new SignalingError(String(code), reason));
        this.#waiting.clear();
        this.emit("status", { state: "closed", code, reason });
    }

    #watch(patience: number): void {
        clearTimeout(this.#timers.watchdog);
        this.#timers.watchdog = setTimeout(() => {
            const silent = this.#transport;
            this.#lost(SILENT, "the server said nothing for too long");
            silent?.close(false);
        }, patience);
    }
}
