// How a connection went, in the words of the frame `report`.

import { selectedPair } from "./paths.js";

// What a change of state makes known: each connection is told of as connected or failed, and then as lost, once.
export function outcomeOf(state, before) {
  if (before === null) return state === "connected" || state === "failed" ? state : null;
  return before === "connected" && state === "failed" ? "lost" : null;
}

// The data of a report, from getStats and the milliseconds that it took.
export function told(report, outcome, ms) {
  if (outcome === "lost") return { outcome };
  const { local } = outcome === "connected" ? selectedPair(report) ?? {} : {};
  const way = local ? { path: local.candidateType, protocol: local.relayProtocol ?? local.protocol } : {};
  return { outcome, connect_ms: Math.round(ms), ...way };
}
