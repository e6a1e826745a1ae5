// How a connection went, in the words of the frame `report`.

import { selectedPair } from "./paths.js";

const LOOKS = 10, APART = 60; // ms
const pause = () => new Promise((resolve) => setTimeout(resolve, APART));

// What a change of state makes known: each connection is told of as connected or failed, and then as lost, once.
export function outcomeOf(state, before) {
  if (before === null) return state === "connected" || state === "failed" ? state : null;
  return before === "connected" && state === "failed" ? "lost" : null;
}

// getStats of a connection that has just changed. Chromium answers with what it kept for up to 50 ms, and so may not know
// yet which pair is in use: then it is asked again.
export async function statsOf(connection, outcome, wait = pause) {
  let report = await connection.getStats();
  for (let looks = 1; outcome === "connected" && !selectedPair(report)?.local && looks < LOOKS; looks += 1) {
    await wait();
    report = await connection.getStats();
  }
  return report;
}

// The data of a report, from getStats and the milliseconds that it took.
export function told(report, outcome, ms) {
  if (outcome === "lost") return { outcome };
  const { local } = outcome === "connected" ? selectedPair(report) ?? {} : {};
  const way = local ? { path: local.candidateType, protocol: local.relayProtocol ?? local.protocol } : {};
  return { outcome, connect_ms: Math.round(ms), ...way };
}
