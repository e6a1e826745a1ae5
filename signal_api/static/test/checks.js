// What this browser can find out by itself. Each check returns a fact: { state: "ok" | "bad" | "off", ... }; none throws.

const PATIENCE = 8_000; // ms for one way to work
const SILENCE = 12_000; // ms until a browser has given up a STUN server that says nothing
const PROMPT = 2_500; // ms within which a stream that nobody holds back has begun
const ECHOES = 50, PACE = 30; // round trips through the relay, and ms between two
const REST = 1_000; // ms that the last echo may take

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Settles with what `work` says, or fails with `why` after `ms`.
export function within(ms, why, work) {
  return Promise.race([work, sleep(ms).then(() => { throw new Error(why); })]);
}

// The server answered, and its answer was no.
const refusal = (why) => Object.assign(new Error(why), { isRefusal: true });

async function fact(work) {
  try {
    return { state: "ok", ...(await work()) };
  } catch (error) {
    return { state: "bad", why: error.message || String(error), ...(error.isRefusal && { refused: true }) };
  }
}

/* ---------- signaling ---------- */

const hello = (token, rooms = []) => ({ v: 1, client: { name: "fairlead-test" }, ...(token && { token }), ...(rooms.length && { rooms }) });

// Opens a session over HTTP; its key goes into every further request.
export async function openSession(base, token, rooms) {
  const reply = await fetch(new URL("v1/sessions", base), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(hello(token, rooms)) });
  const body = await reply.json().catch(() => ({}));
  if (!reply.ok) throw (reply.status < 500 ? refusal : Error)(body.detail ?? `the server answered ${reply.status}`);
  const path = new URL(`v1/sessions/${body.sid}/`, base);
  return { ...body, path, headers: { authorization: `Bearer ${body.key}` } };
}

export const closeSession = ({ path, headers }) => fetch(String(path).replace(/\/$/, ""), { method: "DELETE", headers, keepalive: true }).catch(() => {});

export const websocket = (base, token) => fact(async () => {
  const url = new URL("v1/ws", base);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url, "sig.v1");
  const heard = (type) => new Promise((resolve, reject) => {
    socket.addEventListener("message", ({ data }) => { if (JSON.parse(data).type === type) resolve(performance.now()); });
    socket.addEventListener("close", ({ code, reason }) => reject((code >= 4000 && code < 4100 ? refusal : Error)(reason || `closed with ${code}`)));
  });
  try {
    const begun = performance.now();
    const welcome = heard("welcome");
    await within(PATIENCE, "no connection", new Promise((resolve) => { socket.onopen = resolve; welcome.catch(resolve); }));
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "hello", data: hello(token) }));
    const opened = (await within(PATIENCE, "no welcome", welcome)) - begun;
    const pong = heard("pong"), asked = performance.now();
    socket.send(JSON.stringify({ type: "ping" }));
    return { opened, trip: (await within(PATIENCE, "no answer", pong)) - asked };
  } finally {
    socket.close(1000);
  }
});

export const stream = (base, token) => fact(async () => {
  const session = await openSession(base, token);
  const abort = new AbortController();
  try {
    const begun = performance.now();
    const headers = { ...session.headers, accept: "text/event-stream" };
    const reply = await within(PATIENCE, "no answer", fetch(new URL("events", session.path), { headers, signal: abort.signal }));
    if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
    await within(PROMPT, "the stream is held back on its way", reply.body.getReader().read());
    return { opened: performance.now() - begun };
  } finally {
    abort.abort();
    closeSession(session);
  }
});

export const poll = (base, session) => fact(async () => {
  const begun = performance.now();
  const reply = await within(PATIENCE, "no answer", fetch(new URL("events?wait=0", session.path), { headers: session.headers }));
  if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
  const { events } = await reply.json();
  return { opened: performance.now() - begun, events };
});

/* ---------- addresses ---------- */

// Gathers with these servers; returns the candidates and the errors (W3C RTCPeerConnectionIceErrorEvent).
async function gather(iceServers, policy, patience, enough) {
  const pc = new RTCPeerConnection({ iceServers, iceTransportPolicy: policy });
  const candidates = [], errors = [], begun = performance.now();
  try {
    pc.createDataChannel("test");
    const finished = new Promise((resolve) => {
      pc.onicecandidate = ({ candidate }) => {
        if (!candidate) return resolve(true);
        const { type, protocol, address, port, relatedAddress, relatedPort } = candidate;
        candidates.push({ type, protocol, address, port, base: `${relatedAddress} ${relatedPort}`, after: performance.now() - begun });
        return enough(candidates) ? resolve(true) : undefined;
      };
      pc.onicecandidateerror = ({ errorCode, errorText, url }) => errors.push({ errorCode, errorText, url });
    });
    await pc.setLocalDescription();
    const isComplete = await Promise.race([finished, sleep(patience).then(() => false)]);
    return { candidates, errors, isComplete };
  } finally {
    pc.close();
  }
}

const at = ({ address, port }) => (address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);

// Asks each STUN server from one port: { address, nat }. Without NAT browsers report no server-reflexive candidate.
export const stun = (urls) => fact(async () => {
  const servers = urls.map((url) => ({ urls: [url] }));
  const { candidates, errors, isComplete } = await gather(servers, "all", SILENCE, () => false);
  const mapped = candidates.filter(({ type }) => type === "srflx");
  const failed = new Set(errors.map(({ url }) => url)).size;
  if (!mapped.length && (failed >= urls.length || !isComplete || !candidates.length)) throw new Error("no answer over UDP");
  if (!mapped.length) return { address: null, nat: "none" };
  const ports = new Map();
  for (const one of mapped) ports.set(one.base, (ports.get(one.base) ?? new Set()).add(at(one)));
  const isSymmetric = [...ports.values()].some((seen) => seen.size > 1);
  const nat = isSymmetric ? "symmetric" : urls.length - failed > 1 ? "cone" : "unknown";
  return { address: at(mapped[0]), after: mapped[0].after, nat };
});

/* ---------- the relay ---------- */

// Two connections in this page meet through one relay URL; what one says comes back from the other.
export async function relay(server, url, progress) {
  const found = { state: "bad", url, trips: [] };
  const iceServers = [{ ...server, urls: [url] }];
  try {
    const { candidates, errors } = await gather(iceServers, "relay", PATIENCE, (list) => list.length > 0);
    if (!candidates.length) return { ...found, why: reason(errors), code: errors.find(({ errorCode }) => errorCode < 700)?.errorCode };
    Object.assign(found, { relayed: at(candidates[0]), after: candidates[0].after });
    found.trips = await echo(iceServers, progress);
  } catch (error) {
    return { ...found, why: error.message };
  }
  const answered = found.trips.filter((trip) => trip !== null).sort((a, b) => a - b);
  if (!answered.length) return { ...found, why: "nothing came back" };
  return { ...found, state: "ok", median: answered[answered.length >> 1], worst: answered.at(-1), loss: 1 - answered.length / found.trips.length };
}

function reason(errors) {
  const told = errors.find(({ errorCode }) => errorCode < 700) ?? errors[0];
  return told ? `${told.errorText || "no answer"}${told.errorCode < 700 ? ` (${told.errorCode})` : ""}` : "no answer";
}

async function echo(iceServers, progress) {
  const [near, far] = [0, 1].map(() => new RTCPeerConnection({ iceServers, iceTransportPolicy: "relay" }));
  try {
    near.onicecandidate = ({ candidate }) => far.addIceCandidate(candidate ?? undefined).catch(() => {});
    far.onicecandidate = ({ candidate }) => near.addIceCandidate(candidate ?? undefined).catch(() => {});
    const channel = near.createDataChannel("echo", { ordered: false, maxRetransmits: 0 });
    far.ondatachannel = ({ channel: other }) => { other.onmessage = ({ data }) => other.send(data); };
    await near.setLocalDescription();
    await far.setRemoteDescription(near.localDescription);
    await far.setLocalDescription();
    await near.setRemoteDescription(far.localDescription);
    await within(PATIENCE, "nothing comes through the relay", new Promise((resolve) => { channel.onopen = resolve; }));
    return await trips(channel, progress);
  } finally {
    near.close();
    far.close();
  }
}

async function trips(channel, progress) {
  const sent = [], found = Array(ECHOES).fill(null);
  let missing = ECHOES, finish;
  const finished = new Promise((resolve) => { finish = resolve; });
  channel.onmessage = ({ data }) => {
    const index = Number(data);
    if (found[index] !== null || sent[index] === undefined) return;
    found[index] = performance.now() - sent[index];
    missing -= 1;
    if (!missing) finish();
  };
  for (let index = 0; index < ECHOES; index += 1) {
    sent[index] = performance.now();
    channel.send(String(index));
    await sleep(PACE);
    progress(found.slice(0, index + 1));
  }
  await Promise.race([finished, sleep(REST)]);
  return found;
}
