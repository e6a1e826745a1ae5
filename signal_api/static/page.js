// The page: a lobby, a room, and for each person the way that the call to it goes.

import { Signaling } from "./signaling.js";
import { Peer, sessionOf } from "./peer.js";
import { EXPLANATIONS, openMedia } from "./media.js";
import { describe, verdict, why } from "./paths.js";
import { Chat } from "./chat.js";
import { showPath, showTrack, tileOf } from "./tile.js";

const $ = (id) => document.getElementById(id);
const LOOK_AGAIN = 1_000; // ms between two looks at the statistics
const chat = new Chat(say);
const NARROW = matchMedia("(max-width: 720px)");

// #room=..&key=..&policy=relay&transport=udp|tcp|tls&name=..&fake=1&join=1; a fragment without = is the key alone.
const wishes = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
const wish = (name) => wishes.get(name) ?? "";
// A broken link is a wrong key, which is said; it is no reason to stop.
const decoded = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
const bareKey = location.hash.includes("=") ? "" : decoded(location.hash.slice(1));

const state = {
  status: "offline", room: null, self: null, relayOnly: wish("policy") === "relay", transport: wish("transport"),
  ice: null, drawn: null, peers: {}, messages: [],
};
let signaling = null, media = null, isResumed = false, renewal = 0, looking = 0;

// Everything that a test or a curious person may want to look at.
window.fairlead = {
  state,
  get signaling() { return signaling; },
  get media() { return media; },
  say: (text) => say(text),
  paths: () => Object.fromEntries(Object.entries(state.peers).map(([id, peer]) => [id, peer.path])),
};

/* ---------- the lobby ---------- */

const PLACES = ["harbour", "strait", "lagoon", "fjord", "channel", "inlet", "sound", "estuary", "cove", "reach"];
const MOODS = ["quiet", "still", "clear", "bright", "gentle", "open", "calm", "early", "wide", "slow"];
const pick = (words) => words[crypto.getRandomValues(new Uint32Array(1))[0] % words.length];
const newRoom = () => `${pick(MOODS)}-${pick(PLACES)}-${100 + (crypto.getRandomValues(new Uint32Array(1))[0] % 900)}`;

const myName = () => $("name").value.trim();

function note(text) {
  $("note").firstElementChild.textContent = text ?? "";
  $("note").hidden = !text;
}

function showStatus() {
  const words = { offline: "", connecting: "connecting", connected: "connected", waiting: "connection lost, trying again", refused: "not let in" };
  $("link").dataset.state = state.status;
  $("link").lastElementChild.textContent = words[state.status];
}

async function prepare() {
  $("room").value = wish("room") || newRoom();
  $("name").value = wish("name");
  $("key").value = wish("key") || bareKey;
  $("relay").checked = state.relayOnly;
  if ($("key").value) $("tester").href = `test/#${new URLSearchParams({ key: $("key").value })}`;
  const info = await fetch("v1/info").then((reply) => (reply.ok ? reply.json() : null)).catch(() => null);
  $("key-field").hidden = Boolean($("key").value) || info?.access === "open";
  await takeMedia();
  if (!$("key-field").hidden) note("This service wants its key: open the whole link that was printed, with what stands behind #, or enter the key here.");
  if (wish("join") === "1") await enter();
}

async function takeMedia() {
  if (media) return;
  const opened = await openMedia(wish("fake") === "1", myName);
  media = opened.stream;
  state.drawn = opened.drawn;
  for (const id of ["preview", "self"]) {
    $(id).srcObject = media;
    $(id).classList.toggle("drawn", Boolean(opened.drawn));
  }
  $("preview-caption").hidden = true;
  note(EXPLANATIONS[opened.drawn]);
}

async function enter() {
  $("enter").disabled = true;
  state.room = $("room").value.trim();
  state.relayOnly = $("relay").checked;
  await takeMedia();
  const url = new URL("v1/ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  signaling = new Signaling(url.href, $("key").value.trim() || null);
  signaling.addEventListener("status", ({ detail }) => statusChanged(detail));
  signaling.addEventListener("welcome", ({ detail }) => welcomed(detail));
  signaling.addEventListener("frame", ({ detail }) => received(detail));
  signaling.open();
  showCall();
}

function showCall() {
  const fragment = new URLSearchParams({ room: state.room });
  const key = $("key").value.trim();
  if (key) fragment.set("key", key);
  const link = `${location.origin}${location.pathname}#${fragment}`;
  for (const name of ["policy", "transport", "fake", "name"]) if (wish(name)) fragment.set(name, wish(name));
  history.replaceState(null, "", `#${fragment}`);
  $("share").value = link;
  $("where").textContent = state.room;
  document.body.dataset.screen = "call";
  $("lobby").hidden = true;
  $("call").hidden = false;
  showToggles();
  if (!NARROW.matches) chat.toggle(true);
  looking = setInterval(look, LOOK_AGAIN);
}

/* ---------- signaling ---------- */

function statusChanged({ state: status, code, reason }) {
  state.status = status;
  showStatus();
  if (status !== "refused") return;
  leaveRoom();
  if (code === 4001) $("key-field").hidden = false;
  note({ 4001: "Not let in: the key is missing or wrong.", 4009: "This call was continued elsewhere." }[code] ?? `Not let in: ${reason || code}.`);
}

function welcomed({ isNew, resumed }) {
  isResumed = resumed;
  if (!isNew) return;
  signaling.send("join", { room: state.room, data: { meta: { name: myName() } } }).catch((error) => note(`The room is closed to us: ${error.message}.`));
}

function received(frame) {
  const handle = FRAMES[frame.type];
  if (handle && (frame.room === undefined || frame.room === state.room)) handle(frame);
}

const FRAMES = {
  joined: ({ data }) => {
    // After a long absence the others have given us up, and so must we; after a gap they have not noticed.
    const lost = isResumed || (state.self && state.self.id !== data.self.id);
    state.self = data.self;
    takeServers(data.ice);
    const present = new Set(data.members.map(({ id }) => id));
    for (const id of Object.keys(state.peers)) if (!present.has(id)) drop(id);
    for (const member of data.members) if (!meet(member) && lost) startOver(state.peers[member.id]);
    isResumed = false;
    showStage();
  },
  "member.joined": ({ data }) => data.members.forEach((member) => { chat.line(`${nameOf(member)} came in`); meet(member); }),
  "member.left": ({ data }) => data.members.forEach(({ id }) => {
    if (state.peers[id]) chat.line(`${nameOf(state.peers[id].member)} left`);
    drop(id);
  }),
  offer: called, answer: fromPeer, candidate: fromPeer,
  restart: ({ from }) => { if (state.peers[from]?.polite) replace(state.peers[from]); },
  // Fresh credentials, and at times the wish to leave a server that is about to stop.
  ice: ({ data }) => {
    if (data.iceServers) takeServers(data);
    if (data.reason === "not_granted") chat.line(`No relay from now on: ${data.message}.`);
    if (data.restart) for (const peer of Object.values(state.peers)) peer.restart();
  },
  turn: ({ data }) => chat.line(data.event === "refused" ? `The relay refused us: ${data.reason}${data.code ? ` (${data.code})` : ""}` : `The relay ended our allocation: ${data.reason}`),
  drain: () => chat.line("The server is about to restart; the call goes on."),
  "room.closed": ({ data }) => { leaveRoom(); note(`The room is closed: ${data.reason}.`); },
};

/* ---------- servers and their credentials ---------- */

const KEEPS = {
  udp: (url) => url.startsWith("turn:") && !url.includes("transport=tcp"),
  tcp: (url) => url.startsWith("turn:") && url.includes("transport=tcp"),
  tls: (url) => url.startsWith("turns:"),
};

function configuration() {
  let iceServers = state.ice?.iceServers ?? [];
  const keeps = KEEPS[state.transport];
  if (keeps) iceServers = iceServers.map((server) => ({ ...server, urls: [server.urls].flat().filter(keeps) })).filter(({ urls }) => urls.length);
  return { iceServers, iceTransportPolicy: state.relayOnly ? "relay" : "all" };
}

function takeServers(ice) {
  if (!ice) return;
  state.ice = ice;
  for (const peer of Object.values(state.peers)) peer.configure(configuration());
  clearTimeout(renewal);
  if (ice.refresh_at) renewal = setTimeout(renew, Math.max(5_000, Date.parse(ice.refresh_at) - Date.now()));
}

async function renew() {
  const { sid, key } = signaling?.session ?? {};
  if (!sid) return;
  try {
    const reply = await fetch("v1/ice", {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ sid, room: state.room }),
    });
    if (!reply.ok) throw new Error(`${reply.status}`);
    takeServers(await reply.json());
  } catch {
    renewal = setTimeout(renew, 30_000);
  }
}

/* ---------- people ---------- */

const nameOf = (member) => String(member.meta?.name || "").slice(0, 40) || "Somebody";

// In a pair the one with the larger order is polite and calls; the other waits for its offer. True for somebody new.
function meet(member) {
  const known = state.peers[member.id];
  if (known) known.member = member;
  else if (member.id !== state.self.id) connect(member, seat(member));
  showStage();
  return !known;
}

function connect(member, tile) {
  const peer = new Peer({
    member, polite: state.self.order > member.order, configuration: configuration(), stream: media,
    send: (type, data) => signaling?.send(type, { room: state.room, to: member.id, data }),
  });
  state.peers[member.id] = peer;
  peer.tile = tile;
  tile.querySelector("video").srcObject = peer.stream;
  peer.addEventListener("track", () => showTrack(peer));
  peer.addEventListener("state", () => showPath(peer));
  peer.addEventListener("open", showChat);
  peer.addEventListener("message", ({ detail }) => heard(peer, detail));
  peer.addEventListener("trouble", () => showPath(peer));
  peer.addEventListener("outcome", ({ detail }) => signaling?.send("report", { room: state.room, data: { peer: member.id, ...detail } }));
  showPath(peer);
  return peer;
}

// A new connection in the place of the old one. Who calls makes it and calls again; the other asks for that.
function startOver(peer) {
  if (!replace(peer).polite) signaling.send("restart", { room: state.room, to: peer.member.id });
}

function replace(peer) {
  peer.close();
  return connect(peer.member, peer.tile);
}

function called(frame) {
  let peer = state.peers[frame.from];
  if (!peer) return;
  if (peer.theirs !== null && peer.theirs !== sessionOf(frame.data)) {
    if (peer.polite) return; // An offer of a connection that is gone.
    peer = replace(peer);
  }
  peer.receive(frame);
}

function fromPeer(frame) {
  state.peers[frame.from]?.receive(frame);
}

function drop(id) {
  const peer = state.peers[id];
  if (!peer) return;
  delete state.peers[id];
  peer.close();
  peer.tile.remove();
  showStage();
  showChat();
}

function leaveRoom() {
  clearInterval(looking);
  clearTimeout(renewal);
  if (signaling?.connected) signaling.send("leave", { room: state.room });
  signaling?.close();
  for (const id of Object.keys(state.peers)) drop(id);
  signaling = state.self = state.ice = null;
  state.status = "offline";
  showStatus();
  document.body.dataset.screen = "lobby";
  $("where").textContent = "";
  $("call").hidden = true;
  $("lobby").hidden = false;
  $("enter").disabled = false;
}

/* ---------- the stage ---------- */

function seat(member) {
  const tile = tileOf(member.id, nameOf(member));
  $("stage").append(tile);
  return tile;
}

function showStage() {
  const people = Object.keys(state.peers).length;
  $("waiting").hidden = people > 0;
  $("stage").dataset.people = Math.min(people, 9);
}

const lower = (text) => text[0].toLowerCase() + text.slice(1);

async function look() {
  for (const peer of Object.values(state.peers)) {
    if (peer.pc.connectionState === "closed") continue;
    const before = peer.path, report = await peer.pc.getStats();
    peer.path = describe(report, before);
    if (peer.path) peer.path.why = why(report, peer.path, state.relayOnly);
    if (peer.path && before?.relayed !== peer.path.relayed) chat.line(`${nameOf(peer.member)}: ${lower(verdict(peer.path))}`);
    showPath(peer);
  }
}

/* ---------- chat, over the data channels ---------- */

const channels = () => Object.values(state.peers).filter(({ isOpen }) => isOpen).map(({ channel }) => channel);
const showChat = () => chat.allow(channels().length > 0);

function heard(peer, data) {
  const text = String(data).slice(0, 2000);
  state.messages.push({ from: peer.member.id, text });
  chat.line(text, nameOf(peer.member));
}

function say(text) {
  const open = channels();
  for (const channel of open) channel.send(text);
  if (open.length) chat.line(text, "You");
  return open.length;
}

/* ---------- buttons ---------- */

function showToggles() {
  for (const button of document.querySelectorAll("[data-toggle]")) {
    const tracks = button.dataset.toggle === "camera" ? media?.getVideoTracks() : media?.getAudioTracks();
    button.setAttribute("aria-pressed", tracks?.[0]?.enabled ?? true);
  }
  document.querySelector(".dock [data-act=relay]").setAttribute("aria-pressed", state.relayOnly);
}

function toggleTrack(kind) {
  const tracks = (kind === "camera" ? media?.getVideoTracks() : media?.getAudioTracks()) ?? [];
  for (const track of tracks) track.enabled = !track.enabled;
  showToggles();
}

// Browsers keep the old pair through an ICE restart when it is the better one, so the connections are made anew.
function toggleRelay() {
  state.relayOnly = !state.relayOnly;
  $("relay").checked = state.relayOnly;
  Object.values(state.peers).forEach(startOver);
  chat.line(state.relayOnly ? "From here on through the relay" : "From here on by the shortest way");
  showToggles();
}

async function copyLink(button) {
  try {
    await navigator.clipboard.writeText($("share").value);
  } catch {
    $("share").select(); // Plain http pages have no clipboard.
    document.execCommand("copy");
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}

const ACTS = { copy: copyLink, relay: toggleRelay, leave: leaveRoom, chat: () => chat.toggle(), understood: () => note(null) };

document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.toggle) toggleTrack(button.dataset.toggle);
  if (button?.dataset.act) ACTS[button.dataset.act](button);
});
$("join").addEventListener("submit", (event) => { event.preventDefault(); enter(); });
addEventListener("pagehide", (event) => { if (!event.persisted && signaling?.connected) signaling.send("leave", { room: state.room }); });

prepare();
