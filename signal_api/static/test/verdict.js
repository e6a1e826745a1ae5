// From what was measured to one sentence, and to causes in plain words. Pure: facts in, words out.
//
// Facts: { signaling: {websocket, stream, poll}, credentials, stun, nat, relays: {udp, tcp, tls}, server }. A check is
// { state: "ok" | "bad" | "off", ... }; "off" was not offered by this server, so nobody can blame the network for it.

const NAMES = { websocket: "WebSocket", stream: "event stream", poll: "long polling", udp: "UDP", tcp: "TCP", tls: "TLS" };
const SLOW = 400; // ms of round trip through the relay that people notice in a conversation
const LOSSY = 0.03; // share of packets

const good = (checks) => Object.entries(checks ?? {}).filter(([, { state }]) => state === "ok").map(([name]) => name);
const bad = (checks) => Object.entries(checks ?? {}).filter(([, { state }]) => state === "bad").map(([name]) => name);
const names = (list) => listed(list.map((name) => NAMES[name]));

// "a", "a and b", "a, b and c"
export const listed = (words) => (words.length < 2 ? words.join() : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);

// { level: "good" | "limited" | "bad", headline, causes: [{ text, remedy }] }
export function judge(facts) {
  const causes = CAUSES.flatMap((cause) => cause(facts) ?? []);
  return { ...sentence(facts), causes };
}

function sentence(facts) {
  const relays = good(facts.relays);
  if (!good(facts.signaling).length && refusals(facts).length) return { level: "bad", headline: "This server does not let you in." };
  if (!good(facts.signaling).length) return { level: "bad", headline: "Calls cannot start here: no way of signaling gets through." };
  if (facts.credentials?.state !== "ok") return { level: "bad", headline: "Calls cannot start here: this server gave no credentials for its relay." };
  if (!relays.length) {
    return facts.stun?.state === "ok"
      ? { level: "bad", headline: "Only direct calls can work here: no relay can be reached." }
      : { level: "bad", headline: "Calls will not connect here: neither STUN nor any relay can be reached." };
  }
  if (!relays.includes("udp") && facts.relays.udp?.state === "bad") {
    return { level: "limited", headline: `Calls work here over ${names(relays)} only. Expect more delay when the network is busy.` };
  }
  if (bad(facts.relays).length || bad(facts.signaling).length || facts.stun?.state === "bad") {
    return { level: "limited", headline: "Calls work here, with fewer ways than this server offers." };
  }
  return { level: "good", headline: "Calls work here." };
}

const refusals = ({ signaling }) => Object.values(signaling ?? {}).filter(({ refused }) => refused);

const CAUSES = [
  ({ signaling }) => {
    if (signaling?.websocket?.state !== "bad" || !good(signaling).length) return null;
    return { text: `WebSocket does not get through; ${names(good(signaling))} does.`, remedy: "A proxy in between may not pass Upgrade headers. Clients that fall back to HTTP are not affected." };
  },
  ({ signaling }) => {
    if (signaling?.stream?.state !== "bad" || signaling?.poll?.state !== "ok") return null;
    return { text: "The event stream is held back on its way.", remedy: "A proxy collects answers before it passes them on. Let it stream text/event-stream; long polling works meanwhile." };
  },
  (facts) => {
    if (facts.credentials?.state !== "bad") return null;
    const [refused] = refusals(facts);
    const text = refused ? `Its reason: ${refused.why}.` : `The server did not hand out credentials: ${facts.credentials.why}.`;
    return { text, remedy: "Open the whole link with what stands behind #, or ask whoever runs the server for access." };
  },
  ({ stun, relays }) => {
    if (stun?.state !== "bad" || relays?.udp?.state === "ok") return null;
    return { text: "No answer came back over UDP.", remedy: "A firewall here drops UDP. It would have to let UDP out to the server's ports 3478 and 3479, and the answers in." };
  },
  ({ stun, relays }) => {
    if (stun?.state !== "bad" || relays?.udp?.state !== "ok") return null;
    return { text: "The relay answers over UDP, STUN does not.", remedy: "stund may be down, or its port (3479 unless changed) is closed on the way." };
  },
  ({ nat }) => (nat?.kind === "symmetric"
    ? { text: "The NAT here gives each destination a port of its own.", remedy: "Direct calls will often fail from here; the relay carries them. Nothing has to be done." }
    : null),
  ({ relays, server }) => bad(relays).flatMap((name) => relayCause(name, relays[name], server)),
  ({ relays }) => good(relays).flatMap((name) => quality(name, relays[name])),
  ({ stun, server }) => {
    const told = stun?.address ? host(stun.address) : null;
    const seen = new Set((server?.relays ?? []).map(({ client }) => host(client)).filter((one) => isSix(one) === isSix(told ?? "")));
    if (!told || !seen.size || seen.has(told)) return null;
    return { text: `STUN sees you at ${told}, the relay sees you at ${listed([...seen])}.`, remedy: "You leave through more than one address (a VPN, or two lines). Calls work; address filters may not." };
  },
];

function relayCause(name, relay, server) {
  const told = server?.rejections?.find(({ transport }) => transport === undefined || transport === name);
  if (told) return [{ text: `The relay refused over ${NAMES[name]}: ${told.reason} (${told.code}).`, remedy: REMEDIES[told.code] ?? "The server's log says more under this reason." }];
  if (relay.relayed) return [{ text: `The relay took us in over ${NAMES[name]}, but nothing came through it.`, remedy: "The relay's ports (49152 to 65535 unless changed) may be closed between the server's own addresses, or it advertises an address that is not its own." }];
  const ports = { udp: "UDP port 3478", tcp: "TCP port 3478", tls: "TCP port 5349" }[name];
  const more = name === "tls" ? " Its certificate must be valid for the server's name." : "";
  return [{ text: `The relay cannot be reached over ${NAMES[name]}${relay.why ? `: ${relay.why}` : ""}.`, remedy: `A firewall here or at the server closes ${ports} (unless changed), or the server does not listen there.${more}` }];
}

const REMEDIES = {
  401: "The clocks of signal_api and turnd may differ, or they do not share a secret.",
  403: "The relay may not reach that address; its policy for peers says so.",
  437: "The server's log says more; a fresh attempt usually works.",
  486: "This user has as many allocations as it may have; close other calls, or raise the quota.",
  508: "The server has no free relay port left; widen relay.ports or add a server.",
};

function quality(name, relay) {
  const found = [];
  if (relay.median > SLOW) found.push({ text: `The relay is far away over ${NAMES[name]}: ${Math.round(relay.median)} ms there and back.`, remedy: "A relay nearer to its users would help." });
  if (relay.loss > LOSSY) found.push({ text: `${(100 * relay.loss).toFixed(0)} % of the packets were lost over ${NAMES[name]}.`, remedy: "The line is full or the radio is weak. Try a cable, or look at the server's load." });
  return found;
}

// The host of HOST:PORT or [HOST]:PORT.
export const host = (address) => address.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");

const isSix = (address) => address.includes(":");
