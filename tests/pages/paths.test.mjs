// Which way a call goes, and why.

import assert from "node:assert/strict";
import test from "node:test";

import { describe, details, verdict, why } from "../../signal_api/static/paths.js";

const candidate = (id, candidateType, more = {}) => [id, { id, candidateType, address: "198.51.100.7", port: 5000, protocol: "udp", ...more }];
const pair = (id, localCandidateId, remoteCandidateId, more = {}) => [id, { id, type: "candidate-pair", localCandidateId, remoteCandidateId, timestamp: 0, bytesSent: 0, bytesReceived: 0, ...more }];

const report = (selected, ...entries) => new Map([
  ["T", { type: "transport", selectedCandidatePairId: selected }],
  candidate("lr", "relay", { relayProtocol: "tls", url: "turns:signal.example:5349" }), candidate("rr", "relay"),
  candidate("lh", "host"), candidate("rh", "host"), candidate("ls", "srflx"),
  ...entries,
]);

test("relayed because that was asked for", () => {
  const stats = report("P", pair("P", "lr", "rr"));
  const path = describe(stats, null);
  assert.equal(verdict(path), "Relayed on both sides");
  assert.match(why(stats, path, true), /switched on here/);
  assert.match(why(stats, path, false), /no address but its relay/);
});

test("relayed because the direct ways gave no answer", () => {
  const stats = report("P", pair("P", "lr", "rr"), pair("D", "lh", "rh", { responsesReceived: 0 }), pair("E", "ls", "rh"));
  const path = describe(stats, null);
  path.why = why(stats, path, false);
  assert.match(path.why, /2 direct ways were tried and gave no answer/);
  assert.deepEqual(details(path)[0], ["Why", path.why]);
});

test("relayed although a direct way answered", () => {
  const stats = report("P", pair("P", "lr", "rr"), pair("D", "lh", "rh", { responsesReceived: 3 }));
  assert.match(why(stats, describe(stats, null), false), /was nominated/);
});

test("direct needs no reason", () => {
  const stats = report("D", pair("D", "lh", "rh"));
  const path = describe(stats, null);
  assert.equal(why(stats, path, false), null);
  assert.equal(details(path)[0][0], "From here");
});
