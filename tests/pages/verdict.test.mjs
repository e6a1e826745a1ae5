// Facts in, words out: what the connection test concludes.

import assert from "node:assert/strict";
import test from "node:test";

import { host, judge, listed } from "../../signal_api/static/test/verdict.js";

const OK = { state: "ok" }, OFF = { state: "off" };
const bad = (more) => ({ state: "bad", ...more });
const relay = (more) => ({ state: "ok", median: 20, loss: 0, relayed: "203.0.113.5:50000", ...more });

const facts = (changes = {}) => ({
  signaling: { websocket: OK, stream: OK, poll: OK },
  credentials: OK,
  stun: { state: "ok", address: "198.51.100.7:5000" },
  nat: { state: "ok", kind: "cone" },
  relays: { udp: relay(), tcp: relay(), tls: relay() },
  server: { state: "ok", relays: [{ client: "198.51.100.7:6000" }], rejections: [] },
  ...changes,
});

const texts = (given) => judge(given).causes.map(({ text }) => text).join("\n");

test("all is well", () => assert.deepEqual(judge(facts()), { level: "good", headline: "Calls work here.", causes: [] }));

test("what a server does not offer is nobody's fault", () => {
  assert.equal(judge(facts({ stun: OFF, nat: OFF, relays: { udp: relay(), tcp: OFF, tls: OFF } })).level, "good");
});

test("without signaling nothing begins", () => {
  const none = { websocket: bad(), stream: bad(), poll: bad() };
  assert.match(judge({ signaling: none, relays: {} }).headline, /no way of signaling/);
});

test("refused is not blocked", () => {
  const no = bad({ why: "the key is wrong", refused: true });
  const given = { signaling: { websocket: no, stream: no, poll: no }, credentials: bad({ why: "the key is wrong" }), relays: {} };
  assert.equal(judge(given).headline, "This server does not let you in.");
  assert.equal(texts(given), "Its reason: the key is wrong.");
});

test("WebSocket alone is blocked", () => {
  const given = facts({ signaling: { websocket: bad(), stream: OK, poll: OK } });
  assert.equal(judge(given).level, "limited");
  assert.match(texts(given), /WebSocket does not get through; event stream and long polling does/);
});

test("a proxy holds the stream back", () => assert.match(texts(facts({ signaling: { websocket: OK, stream: bad(), poll: OK } })), /held back/));

test("without credentials the reason is told", () => {
  const given = facts({ credentials: bad({ why: "the key is wrong" }), relays: {} });
  assert.equal(judge(given).level, "bad");
  assert.match(texts(given), /the key is wrong/);
});

test("UDP is closed", () => {
  const given = facts({ stun: bad(), relays: { udp: bad({ why: "no answer" }), tcp: relay(), tls: relay() } });
  assert.match(judge(given).headline, /over TCP and TLS only/);
  assert.match(texts(given), /No answer came back over UDP/);
});

test("stund is down, UDP is not", () => assert.match(texts(facts({ stun: bad() })), /The relay answers over UDP, STUN does not/));

test("no relay at all", () => {
  const closed = { udp: bad(), tcp: bad(), tls: bad() };
  assert.match(judge(facts({ relays: closed })).headline, /Only direct calls/);
  assert.match(judge(facts({ relays: closed, stun: bad() })).headline, /neither STUN nor any relay/);
});

test("the server's own reason wins over a guess", () => {
  const server = { state: "ok", relays: [], rejections: [{ code: 486, reason: "quota" }] };
  const [cause] = judge(facts({ relays: { udp: bad({ why: "no answer" }), tcp: relay(), tls: relay() }, server })).causes;
  assert.match(cause.text, /refused over UDP: quota \(486\)/);
  assert.match(cause.remedy, /quota/);
});

test("taken in and then nothing", () => {
  const udp = bad({ relayed: "203.0.113.5:50000", why: "nothing came back" });
  assert.match(texts(facts({ relays: { udp, tcp: relay(), tls: relay() } })), /took us in over UDP, but nothing came through/);
});

test("a symmetric NAT is told, and is no fault", () => {
  const given = facts({ nat: { state: "ok", kind: "symmetric" } });
  assert.equal(judge(given).level, "good");
  assert.match(texts(given), /a port of its own/);
});

test("far away, and lossy", () => {
  const said = texts(facts({ relays: { udp: relay({ median: 900 }), tcp: relay({ loss: 0.2 }), tls: relay() } }));
  assert.match(said, /900 ms/);
  assert.match(said, /20 % of the packets/);
});

test("two ways out are told, two families are not", () => {
  const elsewhere = { state: "ok", relays: [{ client: "192.0.2.9:1" }], rejections: [] };
  assert.match(texts(facts({ server: elsewhere })), /STUN sees you at 198.51.100.7, the relay sees you at 192.0.2.9/);
  assert.equal(texts(facts({ server: { state: "ok", relays: [{ client: "[2001:db8::1]:1" }], rejections: [] } })), "");
});

test("words", () => {
  assert.equal(listed(["a", "b", "c"]), "a, b and c");
  assert.equal(listed([]), "");
  assert.deepEqual(["192.0.2.1:80", "[::1]:80"].map(host), ["192.0.2.1", "::1"]);
});
