// The connection test: runs the checks one after the other, shows each as it comes, and says what they mean.

import { closeSession, openSession, poll, relay, sleep, stream, stun, websocket, within } from "./checks.js";
import { plot } from "./plot.js";
import { factsIn, linkOf, masked } from "./report.js";
import { host, judge, listed } from "./verdict.js";

const $ = (id) => document.getElementById(id);
const BASE = new URL("../", location.href.split("#")[0]);
const TOLD = 8; // times that the server is asked what turnd saw: its words may come a moment later

const GROUPS = [
  { name: "Signaling", about: "How this browser and the server find words for each other.", checks: { websocket: "WebSocket", stream: "Event stream", poll: "Long polling" } },
  { name: "Your address", about: "How the internet sees this browser.", checks: { stun: "STUN", nat: "NAT" } },
  { name: "The relay", about: "There and back through TURN, 50 times each way.", checks: { udp: "TURN over UDP", tcp: "TURN over TCP", tls: "TURN over TLS" } },
  { name: "Seen from the server", about: "What the relay itself says of the same minute.", checks: { server: "turnd" } },
];
const KEEPS = {
  udp: (url) => url.startsWith("turn:") && !url.includes("transport=tcp"),
  tcp: (url) => url.startsWith("turn:") && url.includes("transport=tcp"),
  tls: (url) => url.startsWith("turns:"),
};

let facts = null;
window.fairleadTest = { get facts() { return facts; }, get verdict() { return facts && judge(facts); } };

/* ---------- what is shown ---------- */

const copyOf = (id) => $(id).content.firstElementChild.cloneNode(true);
const ms = (value) => (value === undefined ? "" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);

function build() {
  $("groups").replaceChildren(...GROUPS.map(({ name, about, checks }) => {
    const group = copyOf("group");
    group.querySelector("h2").textContent = name;
    group.querySelector("p").textContent = about;
    group.querySelector("ul").append(...Object.entries(checks).map(([id, title]) => {
      const row = copyOf("check");
      row.dataset.check = id;
      row.querySelector("b").textContent = title;
      return row;
    }));
    return group;
  }));
}

function show(id, state, { figure = "", detail = "", more = [] } = {}) {
  const row = document.querySelector(`[data-check="${id}"]`);
  row.dataset.state = state;
  row.querySelector(".figure").textContent = figure;
  row.querySelector(".detail").textContent = detail;
  row.querySelector(".more").replaceChildren(...more);
}

const small = (text) => Object.assign(document.createElement("small"), { textContent: text });

const SHOWN = {
  websocket: ({ opened, why }) => ({ figure: ms(opened), detail: why ?? "" }),
  stream: ({ opened, why }) => ({ figure: ms(opened), detail: why ?? "" }),
  poll: ({ opened, why }) => ({ figure: ms(opened), detail: why ?? "" }),
  stun: ({ after, address, why }) => ({ figure: ms(after), detail: why ?? address ?? "the address of this machine, as it is" }),
  nat: ({ kind }) => ({ detail: NATS[kind] ?? "" }),
  server: shownServer,
  udp: shownRelay, tcp: shownRelay, tls: shownRelay,
};

const NATS = {
  none: "none in the way",
  cone: "one port for all destinations: direct calls have a good chance",
  symmetric: "another port for each destination: the relay will often be needed",
  unknown: "one server answered, which is too few to tell",
};

function shownRelay({ state, why, relayed, trips, median, loss, url }) {
  if (state === "off") return { detail: "not offered by this server" };
  const more = trips?.length ? [plot(trips, `Round trips, ${ms(median)} in the middle`)] : [];
  if (state === "ok") more.push(small(`${url}, ${loss ? `${(100 * loss).toFixed(0)} % lost` : "nothing lost"}`));
  return { figure: ms(median), detail: why ?? relayed ?? "", more };
}

function shownServer({ state, why, relays = [], rejections = [] }) {
  if (state !== "ok") return { detail: why };
  const lines = Object.keys(KEEPS).flatMap((name) => {
    const mine = relays.filter(({ transport }) => transport === name);
    if (!mine.length) return [];
    const from = listed([...new Set(mine.map(({ client }) => host(client)))]);
    return [`${name.toUpperCase()}: ${counted(mine.length)} from ${from}, ${kilobytes(mine)} relayed`];
  });
  const refused = rejections.map(({ code, reason }) => `refused: ${reason} (${code})`);
  return { figure: counted(relays.length), more: [...lines, ...refused].map(small) };
}

const counted = (number) => `${number} allocation${number === 1 ? "" : "s"}`;
const kilobytes = (relays) => `${(relays.reduce((sum, { bytes }) => sum + bytes, 0) / 1000).toFixed(1)} kB`;

const nested = (all) => ({ ...all.signaling, stun: all.stun, nat: all.nat && { state: all.nat.kind === "unknown" ? "off" : "ok", ...all.nat }, ...all.relays, server: all.server });

function showFacts() {
  for (const [id, fact] of Object.entries(nested(facts))) if (fact) show(id, fact.state, SHOWN[id](fact));
  const { level, headline, causes } = judge(facts);
  $("verdict").dataset.level = level;
  $("headline").textContent = headline;
  $("causes").replaceChildren(...causes.map(({ text, remedy }) => {
    const item = document.createElement("li");
    item.append(Object.assign(document.createElement("b"), { textContent: text }), Object.assign(document.createElement("span"), { textContent: remedy }));
    return item;
  }));
  $("when").textContent = new Date(facts.at).toLocaleString();
  $("share").hidden = $("hiding").hidden = false;
}

/* ---------- the run ---------- */

async function step(id, work) {
  show(id, "running");
  const fact = await work();
  show(id, fact.state, SHOWN[id](fact));
  return fact;
}

async function run() {
  const token = $("key").value.trim() || null;
  $("run").disabled = true;
  $("run").textContent = "Testing";
  $("verdict").dataset.level = "running";
  $("headline").textContent = "Looking for ways.";
  $("causes").replaceChildren();
  build();
  const found = { at: Date.now(), browser: navigator.userAgent, server: { state: "off", why: "not asked" }, relays: {} };
  let session = null;
  try {
    found.signaling = { websocket: await step("websocket", () => websocket(BASE, token)), stream: await step("stream", () => stream(BASE, token)) };
    session = await openSession(BASE, token, [`test-${crypto.randomUUID()}`]).catch((error) => ({ error }));
    found.signaling.poll = await step("poll", () => (session.error ? { state: "bad", why: session.error.message, refused: session.error.isRefusal } : poll(BASE, session)));
    await throughIce(found, session);
  } finally {
    if (session?.path) closeSession(session);
  }
  facts = plain(found);
  showFacts();
  $("run").disabled = false;
  $("run").textContent = "Test again";
}

// The events of the first poll hold `joined`, and that the servers with their credentials.
async function throughIce(found, session) {
  const ice = found.signaling.poll.events?.find(({ type }) => type === "joined")?.data.ice;
  found.credentials = ice ? { state: "ok", ttl: ice.ttl } : { state: "bad", why: session.error?.message ?? found.signaling.poll.why ?? "the session may not relay" };
  if (!ice) return;
  const urls = ice.iceServers.flatMap((server) => [server.urls].flat().map((url) => ({ server, url })));
  const stuns = urls.filter(({ url }) => url.startsWith("stun:")).map(({ url }) => url);
  // turnd answers STUN as well, on another port: two destinations tell what the NAT does.
  const answering = [...stuns, ...urls.filter(({ url }) => KEEPS.udp(url)).map(({ url }) => url.replace(/^turn:/, "stun:").replace(/\?.*/, ""))];
  found.stun = await step("stun", () => (stuns.length ? stun(answering) : { state: "off", why: "not offered by this server" }));
  found.nat = await step("nat", () => ({ state: found.stun.nat && found.stun.nat !== "unknown" ? "ok" : "off", kind: found.stun.nat }));
  for (const [name, keeps] of Object.entries(KEEPS)) {
    const way = urls.find(({ url }) => keeps(url));
    const progress = (trips) => show(name, "running", { more: [plot(trips, "Round trips so far")] });
    found.relays[name] = await step(name, () => (way ? relay(way.server, way.url, progress) : { state: "off" }));
  }
  found.server = await step("server", () => seen(session, Object.values(found.relays).some(({ relayed }) => relayed)));
}

// What turnd told of this session. It counts an allocation for good when that has ended, which takes it a moment.
async function seen(session, isSome) {
  try {
    for (let round = 1; ; round += 1) {
      const reply = await within(5_000, "no answer", fetch(new URL("relay", session.path), { headers: session.headers }));
      if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
      const { linked, rooms } = await reply.json();
      if (!linked) return { state: "off", why: "turnd is not linked with this server, so only the browser's view is known" };
      const relays = rooms.flatMap((room) => room.relays);
      if (round === TOLD || (relays.length >= Number(isSome) && relays.every(({ ended }) => ended))) return { state: "ok", ...viewOf(rooms) };
      await sleep(400);
    }
  } catch (error) {
    return { state: "bad", why: error.message };
  }
}

function viewOf(rooms) {
  const relays = rooms.flatMap(({ relays: all }) => all).map(({ transport, client, relayed, traffic }) => ({ transport, client, relayed, bytes: traffic.bytes_to_peer + traffic.bytes_to_client }));
  const rejections = rooms.flatMap(({ rejections: all }) => all).filter(({ method }) => method === "allocate").map(({ code, reason, client }) => ({ code, reason, client }));
  return { relays, rejections };
}

// What a report holds: no events of the session, times in tenths of milliseconds.
function plain(found) {
  const round = (value) => (typeof value === "number" && !Number.isInteger(value) ? Math.round(value * 10) / 10 : value);
  const text = JSON.stringify(found, (name, value) => (name === "events" ? undefined : name === "loss" ? value : round(value)));
  return JSON.parse(text);
}

/* ---------- report and start ---------- */

async function share() {
  const link = await linkOf(`${location.origin}${location.pathname}`, $("mask").checked ? masked(facts) : facts);
  await navigator.clipboard.writeText(link).catch(() => prompt("The link to this report:", link));
  $("share").textContent = "Copied";
  setTimeout(() => { $("share").textContent = "Copy report link"; }, 1500);
}

// Shows the report that the address holds; false when there is none, or none that can be read.
async function open() {
  try {
    facts = await factsIn(location.hash);
    if (!facts) return false;
    showFacts();
  } catch (error) {
    facts = null;
    $("headline").textContent = error.message;
    return false;
  }
  $("share").hidden = $("hiding").hidden = true;
  $("run").textContent = "Test from here";
  return true;
}

async function start() {
  build();
  if (await open()) return;
  const wishes = new URLSearchParams(location.hash.slice(1));
  $("key").value = wishes.get("key") ?? "";
  if (location.hash.length > 1) $("home").href = `../${location.hash}`;
  const info = await fetch(new URL("v1/info", BASE)).then((reply) => reply.json()).catch(() => null);
  $("ask").hidden = Boolean($("key").value) || info?.access === "open";
  if (wishes.get("run") === "1") await run();
}

$("run").addEventListener("click", run);
$("share").addEventListener("click", share);
$("ask").addEventListener("submit", (event) => { event.preventDefault(); run(); });
start();
