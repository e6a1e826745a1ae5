// What the page tells the service of each connection: once that it came about or failed, once that it was lost.

import assert from "node:assert/strict";
import test from "node:test";

import { outcomeOf, statsOf, told } from "../../signal_api/static/outcome.js";

const entries = (...list) => new Map(list.map((entry) => [entry.id, entry]));
const RELAYED = entries(
  { id: "t", type: "transport", selectedCandidatePairId: "p" },
  { id: "p", type: "candidate-pair", localCandidateId: "l", remoteCandidateId: "r" },
  { id: "l", type: "local-candidate", candidateType: "relay", protocol: "udp", relayProtocol: "tls" },
  { id: "r", type: "remote-candidate", candidateType: "host" },
);

function outcomes(...states) {
  let before = null;
  return states.map((state) => {
    const outcome = outcomeOf(state, before);
    before = outcome ?? before;
    return outcome;
  });
}

test("each connection is told of once, and once more when it is lost", () => {
  assert.deepEqual(outcomes("connecting", "connected", "disconnected", "connected"), [null, "connected", null, null]);
  assert.deepEqual(outcomes("connecting", "failed", "connecting", "failed"), [null, "failed", null, null]);
  assert.deepEqual(outcomes("connected", "failed", "connected", "failed"), ["connected", "lost", null, null]);
  assert.deepEqual(outcomes("connecting", "closed"), [null, null]);
});

test("the way of our own side, and how long it took", () => {
  const way = { outcome: "connected", connect_ms: 120, path: "relay", protocol: "tls" };
  assert.deepEqual(told(RELAYED, "connected", 119.6), way);
  assert.deepEqual(told(RELAYED, "failed", 30_000), { outcome: "failed", connect_ms: 30_000 });
  assert.deepEqual(told(RELAYED, "lost", 9), { outcome: "lost" });
  assert.deepEqual(told(entries(), "connected", 1), { outcome: "connected", connect_ms: 1 });
});

test("what a browser kept from before the change is not the last word, and neither is it waited for without end", async () => {
  const kept = (...reports) => ({ asked: 0, async getStats() { return reports[Math.min(this.asked++, reports.length - 1)]; } });
  const wait = async () => {};
  assert.equal(await statsOf(kept(entries(), entries(), RELAYED), "connected", wait), RELAYED);
  const never = kept(entries());
  assert.equal((await statsOf(never, "connected", wait)).size, 0);
  assert.equal(never.asked, 10);
  const failed = kept(entries());
  await statsOf(failed, "failed", wait);
  assert.equal(failed.asked, 1);
});
