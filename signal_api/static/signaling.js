// sig.v1 over WebSocket: one session that survives its connections.

const VERSION = 1;
const WATCHDOG = 40_000; // ms without any frame; the server pings every 25 s
const BACK_OFF = { first: 500, longest: 10_000 }; // ms, full jitter between 0 and the bound
const KEPT = 64; // frames that wait for their reply and are sent again after a reconnect
const SETTLED = 10_000; // ms after which a connection counts as good

export class Signaling extends EventTarget {
  #url; #token; #socket = null; #session = null; #seq = 0; #attempts = 0; #nextId = 1;
  #waiting = new Map(); #watchdog = 0; #retry = 0; #settled = 0; #closed = false; #drained = null;

  constructor(url, token) {
    super();
    this.#url = url;
    this.#token = token;
  }

  get session() { return this.#session; }
  get connected() { return this.#socket?.readyState === WebSocket.OPEN && this.#session !== null; }

  open() {
    this.#closed = false;
    const socket = this.#socket = new WebSocket(this.#url, "sig.v1");
    socket.onopen = () => this.#hello(socket);
    socket.onmessage = (event) => { if (socket === this.#socket) this.#receive(JSON.parse(event.data)); };
    socket.onclose = (event) => { if (socket === this.#socket) this.#lost(event.code, event.reason); };
    this.#watch();
    this.#tell("status", { state: "connecting" });
  }

  // Sends a frame; the promise settles with its reply. What got none before the connection broke is sent again.
  send(type, fields = {}) {
    const frame = { type, id: `c${this.#nextId++}`, ...fields };
    const reply = new Promise((resolve, reject) => this.#waiting.set(frame.id, { frame, resolve, reject }));
    if (this.#waiting.size > KEPT) {
      const [oldest, entry] = this.#waiting.entries().next().value;
      this.#waiting.delete(oldest);
      entry.reject(new Error("too many frames wait for a connection"));
    }
    if (this.connected) this.#put(frame);
    reply.catch(() => {}); // Who wants to know asks; nobody has to.
    return reply;
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#watchdog);
    this.#socket?.close(1000);
    this.#socket = this.#session = null;
  }

  #hello(socket) {
    const data = { v: VERSION, client: { name: "fairlead-page" } };
    if (this.#token) data.token = this.#token;
    if (this.#session) {
      const { sid, key, epoch } = this.#session;
      data.resume = { sid, key, after: `${epoch}.${this.#seq}` };
    }
    socket.send(JSON.stringify({ type: "hello", data }));
  }

  #put(frame) {
    this.#socket.send(JSON.stringify({ ...frame, ack: this.#seq }));
  }

  #receive(frame) {
    this.#watch();
    if (frame.seq !== undefined) {
      if (frame.type !== "welcome" && frame.seq <= this.#seq) return;
      this.#seq = frame.seq;
    }
    if (frame.type === "ping") this.#put({ type: "pong" });
    else if (frame.type === "welcome") this.#welcome(frame.data);
    else {
      if (frame.re !== undefined) this.#settle(frame);
      if (frame.type === "drain") this.#drained = frame.data.retry_ms;
      this.#tell("frame", frame);
    }
  }

  #welcome(data) {
    this.#session = { sid: data.sid, key: data.key, epoch: data.epoch };
    clearTimeout(this.#settled);
    this.#settled = setTimeout(() => { this.#attempts = 0; }, SETTLED);
    const isNew = !data.resumed && data.reason !== "gap" && data.reason !== "epoch";
    this.#tell("status", { state: "connected" });
    this.#tell("welcome", { ...data, isNew });
    if (isNew) {
      // The rooms of the old session are gone, and frames for them with it.
      for (const [id, { frame, reject }] of this.#waiting) {
        if (frame.room === undefined || frame.type === "join") continue;
        this.#waiting.delete(id);
        reject(new Error("the session was lost"));
      }
    }
    for (const { frame } of this.#waiting.values()) this.#put(frame);
  }

  #settle(frame) {
    const entry = this.#waiting.get(frame.re);
    if (!entry) return;
    if (frame.type === "error" && frame.data.retry_after_ms !== undefined) {
      setTimeout(() => { if (this.connected && this.#waiting.has(frame.re)) this.#put(entry.frame); }, frame.data.retry_after_ms);
      return;
    }
    this.#waiting.delete(frame.re);
    if (frame.type === "error") entry.reject(Object.assign(new Error(frame.data.message), { code: frame.data.code }));
    else entry.resolve(frame);
  }

  #lost(code, reason) {
    clearTimeout(this.#watchdog);
    clearTimeout(this.#settled);
    this.#socket = null;
    if (this.#closed) return;
    if (code >= 4000 && code < 4100) {
      this.#session = null;
      this.#tell("status", { state: "refused", code, reason });
      return;
    }
    const bound = Math.min(BACK_OFF.longest, BACK_OFF.first * 2 ** this.#attempts);
    const delay = this.#drained ?? (code >= 4100 && code < 4200 ? 1000 : 0) + Math.random() * bound;
    this.#drained = null;
    this.#attempts += 1;
    this.#tell("status", { state: "waiting", code, reason, delay });
    this.#retry = setTimeout(() => this.open(), delay);
  }

  #watch() {
    clearTimeout(this.#watchdog);
    const socket = this.#socket;
    this.#watchdog = setTimeout(() => {
      socket?.close();
      if (socket === this.#socket) this.#lost(1006, "silence");
    }, WATCHDOG);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
