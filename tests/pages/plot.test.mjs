// Round trips as a line: gaps where one was lost.

import assert from "node:assert/strict";
import test from "node:test";

import { niceTop, outline } from "../../signal_api/static/test/plot.js";

test("a line goes through what came back", () => {
  const { path, ticks, top } = outline([1, 2, 3]);
  assert.equal(path.match(/[ML]/g).join(""), "MLL");
  assert.deepEqual(ticks, []);
  assert.equal(top, 5);
});

test("a loss is a gap and a tick", () => {
  const { path, ticks } = outline([1, null, 3]);
  assert.equal(path.match(/[ML]/g).join(""), "MM");
  assert.equal(ticks.length, 1);
});

test("nothing came back", () => assert.equal(outline([null, null]).path, ""));

test("the upper edge is a number one reads", () => assert.deepEqual([1, 3, 9, 11, 70, 300].map(niceTop), [1, 5, 10, 20, 100, 500]));
