// Which way a call goes, read from getStats and said in words.

const PROTOCOLS = { udp: "UDP", tcp: "TCP", tls: "TLS" };
const KINDS = { host: "host", srflx: "server-reflexive", prflx: "peer-reflexive", relay: "relay" };

const at = (candidate) => {
  const address = candidate?.address ?? candidate?.ip;
  if (!address) return "(address kept by the browser)";
  return `${address.includes(":") ? `[${address}]` : address}:${candidate.port}`;
};

// The pair in use with both of its candidates, null before there is one. Firefox has no transport entry.
export function selectedPair(report) {
  let pair = null;
  for (const entry of report.values()) {
    if (entry.type === "transport" && entry.selectedCandidatePairId) pair = report.get(entry.selectedCandidatePairId);
  }
  if (!pair) {
    for (const entry of report.values()) {
      if (entry.type === "candidate-pair" && entry.state === "succeeded" && (entry.selected || entry.nominated)) pair = entry;
    }
  }
  if (!pair) return null;
  return { pair, local: report.get(pair.localCandidateId), remote: report.get(pair.remoteCandidateId) };
}

// What the page says and what tests read: plain values only.
export function describe(report, before) {
  const found = selectedPair(report);
  if (!found || !found.local || !found.remote) return null;
  const { pair, local, remote } = found;
  const near = local.candidateType === "relay", far = remote.candidateType === "relay";
  const seconds = before ? (pair.timestamp - before.timestamp) / 1000 : 0;
  const rate = (now, then) => (seconds > 0 && then !== undefined ? Math.max(0, (8 * (now - then)) / seconds) : null);
  return {
    relayed: near || far,
    local: { type: local.candidateType, address: at(local), protocol: local.protocol, relayProtocol: local.relayProtocol ?? null, url: local.url ?? null },
    remote: { type: remote.candidateType, address: at(remote), protocol: remote.protocol },
    protocol: near ? (local.relayProtocol ?? local.protocol) : local.protocol,
    relay: near ? at(local) : far ? at(remote) : null,
    rtt: pair.currentRoundTripTime ?? null,
    bytesSent: pair.bytesSent, bytesReceived: pair.bytesReceived, timestamp: pair.timestamp,
    sending: rate(pair.bytesSent, before?.bytesSent), receiving: rate(pair.bytesReceived, before?.bytesReceived),
  };
}

export function verdict(path) {
  const near = path.local.type === "relay", far = path.remote.type === "relay";
  if (near && far) return "Relayed on both sides";
  if (near) return "Relayed";
  if (far) return "Relayed by the other side";
  const kinds = [path.local.type, path.remote.type];
  if (kinds.includes("srflx")) return "Direct, through NAT";
  return kinds.includes("prflx") ? "Direct" : "Direct, on one network";
}

// Why a call goes through the relay, from what became of the other ways.
export function why(report, path, relayOnly) {
  if (!path.relayed) return null;
  if (path.local.type === "relay" && relayOnly) return "Relay only is switched on here.";
  const direct = [...report.values()].filter((entry) => entry.type === "candidate-pair"
    && ![entry.localCandidateId, entry.remoteCandidateId].some((id) => report.get(id)?.candidateType === "relay"));
  if (!direct.length) return "The other side offered no address but its relay.";
  const ways = direct.length === 1 ? "The one direct way was tried and gave" : `${direct.length} direct ways were tried and gave`;
  return direct.some(({ responsesReceived }) => responsesReceived > 0)
    ? "A direct way exists, but this one was nominated."
    : `${ways} no answer: a NAT or a firewall is in between.`;
}

// The candidate pair in the words of ICE, and the relay with its port.
export function pairOf(path) {
  const over = PROTOCOLS[path.protocol] ?? path.protocol;
  return [`${path.local.type} \u2194 ${path.remote.type}`, over, path.relay].filter(Boolean).join(" \u00b7 ");
}

export function details(path) {
  const side = (end) => `${KINDS[end.type] ?? end.type} ${end.address}`;
  const rows = [["From here", side(path.local)], ["To there", side(path.remote)]];
  if (path.why) rows.unshift(["Why", path.why]);
  if (path.local.url) rows.push(["Server", path.local.url]);
  const rates = [path.sending, path.receiving];
  if (rates.every((value) => value !== null)) rows.push(["Up, down", rates.map(bits).join(", ")]);
  return rows;
}

export const bits = (value) => (value < 1e6 ? `${Math.round(value / 1e3)} kbit/s` : `${(value / 1e6).toFixed(1)} Mbit/s`);

export const milliseconds = (seconds) =>
  seconds === null ? "" : seconds < 0.01 ? `${(seconds * 1000).toFixed(1)} ms` : `${Math.round(seconds * 1000)} ms`;
