// What the comparison calls better, without a browser: its functions, on figures whose truth is known.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import vm from "node:vm";
import { work } from "./visit.js";

const site = path.join(work, "site");
const context = vm.createContext({});
for (const name of ["data.js", "compare.js"]) vm.runInContext(readFileSync(path.join(site, name), "utf8"), context);
vm.runInContext("globalThis.table = WATTPROOF; globalThis.api = { bounds, contenders, comparison, warnings };", context);
const { api, table } = context;

// Mulberry32: the same campaign on every machine. Normal numbers by Box and Muller.
function random(seed) {
  let state = seed >>> 0;
  const unit = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - unit())) * Math.cos(2 * Math.PI * unit());
  return { unit, normal };
}

// The median of `n` windows with scatter `cv` around `truth`, and its bootstrap interval, as docs/analysis.md has it.
function figure({ unit, normal }, n, truth, cv) {
  const values = Array.from({ length: n }, () => truth * Math.exp(cv * normal())).sort((a, b) => a - b);
  const middle = (sorted) => (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2;
  const medians = Array.from({ length: 400 }, () =>
    middle(Array.from({ length: n }, () => values[Math.floor(unit() * n)]).sort((a, b) => a - b)))
    .sort((a, b) => a - b);
  const value = middle(values);
  const stretch = Math.sqrt(n / (n - 1));
  const arm = (bound) => value * (bound / value) ** stretch;
  return { value, low: arm(medians[9]), high: arm(medians[390]), dof: n - 1, text: "", spread: "" };
}

const record = (slug, times) => ({
  slug, suite: "s", digest: "d", boundary: "", simulated: false,
  cases: times.map((time, i) => ({ id: `case-${i}`, work: [1, 1, 1], time, energy: { why: "none" }, efficiency: { why: "none" } })),
});

test("equal machines: a false winner anywhere in a comparison in at most 5 % of 1,000", (t) => {
  for (const [n, records, cases] of [[5, 2, 8], [10, 2, 8], [10, 4, 8]]) {
    let alarms = 0;
    for (let run = 0; run < 1000; run += 1) {
      const source = random(run * 7919 + n);
      const arms = Array.from({ length: records }, (_, i) =>
        record(`r${i}`, Array.from({ length: cases }, () => figure(source, n, 1, 0.01))));
      alarms += api.comparison(arms, table)[0].rows.some(({ best }) => best?.length === 1) ? 1 : 0;
    }
    t.diagnostic(`${records} records, ${cases} cases, ${n} windows: ${alarms} of 1000 name a winner`);
    assert.ok(alarms <= 50, `${alarms} of 1000`);
  }
});

test("a true difference of 10 % at 1 % scatter and ten windows is found", (t) => {
  let found = 0;
  for (let run = 0; run < 200; run += 1) {
    const source = random(run + 1);
    const arms = [1, 1.1].map((truth, i) => record(`r${i}`, Array.from({ length: 8 }, () => figure(source, 10, truth, 0.01))));
    found += api.comparison(arms, table)[0].rows.filter(({ best }) => best?.length === 1 && best[0] === 0).length;
  }
  t.diagnostic(`${found} of 1600 cases`);
  assert.ok(found >= 0.95 * 1600, `${found} of 1600`);
});

test("what cannot be known is never a winner", () => {
  const known = { value: 1, low: 0.99, high: 1.01, dof: 9 };
  const far = { value: 9, low: 8.9, high: 9.1, dof: 9 };
  assert.deepEqual([...api.contenders([known, far], -1, 1, table)], [0]);
  assert.deepEqual([...api.contenders([known, far], 1, 1, table)], [1]);
  for (const vague of [
    { ...far, low: null, high: null }, { ...far, dof: 3 }, { ...far, dof: 0 },
  ]) {
    assert.deepEqual([...api.contenders([known, vague], -1, 1, table)], [0, 1]);
  }
  assert.deepEqual([...api.contenders([known, far], -1, 2 ** 30, table)], [0, 1], "too many comparisons to say anything");
  assert.equal(api.contenders([known, { why: "not measured" }], -1, 1, table), null);
  assert.deepEqual([...api.contenders([known, { ...known, value: 1.005 }], -1, 1, table)], [0, 1]);
});

test("other work and other boundaries are not compared", () => {
  const fast = { value: 1, low: 0.99, high: 1.01, dof: 9, text: "", spread: "" };
  const slow = { ...fast, value: 9, low: 8.9, high: 9.1 };
  const [a, b] = [record("a", [fast]), record("b", [slow])];
  for (const [r, e] of [[a, fast], [b, slow]]) r.cases[0].energy = e;
  assert.match(api.comparison([a, b], table)[1].rows[0].result, /1 takes least energy/);
  [a.boundary, b.boundary] = ["the packages", "the wall"];
  assert.equal(api.comparison([a, b], table)[1].rows[0].result, "boundaries differ");
  assert.match(api.comparison([a, b], table)[0].rows[0].result, /1 takes least time/);
  assert.match(api.warnings([a, b]).join(" "), /boundaries differ/);
  b.cases[0].work = [1, 1, 2];
  assert.equal(api.comparison([a, b], table)[0].rows[0].result, "not the same work");
});
