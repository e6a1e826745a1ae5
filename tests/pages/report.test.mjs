// A report survives its link, whole or not at all, and hides who asked for that.

import assert from "node:assert/strict";
import test from "node:test";

import { factsIn, linkOf, masked } from "../../signal_api/static/test/report.js";

const FACTS = { at: 1, stun: { state: "ok", address: "198.51.100.7:5000" }, relays: { udp: { trips: [1.5, null, 2] } } };
const fragment = async (facts) => new URL(await linkOf("https://signal.example/test/", facts)).hash;

test("there and back", async () => assert.deepEqual(await factsIn(await fragment(FACTS)), { version: 1, ...FACTS }));

test("no report in the fragment", async () => {
  assert.equal(await factsIn(""), null);
  assert.equal(await factsIn("#key=abc"), null);
});

test("cut off, foreign, or far too large when unpacked", async () => {
  const whole = await fragment(FACTS);
  for (const broken of [whole.slice(0, -9), "#report=%%%", "#report=", await fragment({ text: "x".repeat(300_000) })]) {
    await assert.rejects(factsIn(broken), /no whole report/);
  }
});

test("addresses lose what is a person's", () => {
  const hidden = masked({ a: "198.51.100.7:5000", b: ["[2001:db8:1:2::7]:5000"], n: 5, none: null });
  assert.deepEqual(hidden, { a: "198.51.100.x:5000", b: ["[2001:db8:1:x]:5000"], n: 5, none: null });
});
