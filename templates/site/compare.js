"use strict";
// Records side by side. A figure is called better only where the intervals, widened for the number of comparisons in
// view (Bonferroni), do not overlap; everything else cannot be told apart.
const METRICS = [
  { key: "time", title: "Time an iteration", best: "takes least time", sign: -1 },
  { key: "energy", title: "Energy an iteration", best: "takes least energy", sign: -1, bounded: true },
  { key: "efficiency", title: "Performance per watt", best: "does most per joule", sign: 1, bounded: true },
];

const sheets = new Map();
function wattproofFigures(sheet) {
  sheets.set(sheet.slug, sheet);
}

// A page from a disk may not fetch, but it may load a script.
function load(slug) {
  if (sheets.has(slug)) return Promise.resolve(sheets.get(slug));
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `r/${slug}/figures.js`;
    script.onload = () => (sheets.has(slug) ? resolve(sheets.get(slug)) : reject(new Error(slug)));
    script.onerror = () => reject(new Error(slug));
    document.head.append(script);
  });
}

// The bounds of a figure when `pairs` comparisons share one chance of error; null where they are not known.
function bounds(figure, pairs, { widening, dof }) {
  const degrees = figure.dof ?? Infinity;
  // Too few windows: such an interval covers less than it says.
  if (figure.low == null || figure.high == null || degrees < dof[0]) return null;
  const row = widening[Math.ceil(Math.log2(Math.max(1, pairs)))];
  if (!row) return null;
  const factor = row[dof.findLastIndex((known) => known <= degrees)];
  const { value, low, high } = figure;
  if (low <= 0) return [value - (value - low) * factor, value + (high - value) * factor];
  return [value * (low / value) ** factor, value * (high / value) ** factor];
}

// Which of the figures may be the best one. One index: it is the best. Several: they cannot be told apart.
function contenders(figures, sign, pairs, table) {
  const known = figures.flatMap((figure, i) =>
    figure && "value" in figure ? [{ i, value: figure.value, range: bounds(figure, pairs, table) }] : []);
  if (known.length < 2) return null;
  const best = known.reduce((a, b) => (sign * b.value > sign * a.value ? b : a));
  const apart = (a, b) => a.range && b.range && (a.range[1] < b.range[0] || b.range[1] < a.range[0]);
  return known.filter((figure) => figure === best || !apart(figure, best)).map(({ i }) => i);
}

const same = (values) => new Set(values).size < 2;

// What keeps a case from being compared in a metric, or null.
function hindrance(cases, metric, boundaries) {
  if (!same(cases.filter((found) => found?.work).map((found) => found.work.join()))) return "not the same work";
  if (metric.bounded && !same(boundaries)) return "boundaries differ";
  return null;
}

// The whole comparison as data: metrics with rows of cells and a result.
function comparison(records, table) {
  const ids = [...new Set(records.flatMap((record) => record.cases.map(({ id }) => id)))];
  const byId = records.map((record) => new Map(record.cases.map((found) => [found.id, found])));
  const k = records.length;
  const pairs = ids.length * METRICS.length * (k * (k - 1)) / 2;
  return METRICS.map((metric) => {
    const tally = new Array(k).fill(0);
    let open = 0;
    let none = 0;
    const rows = ids.map((id) => {
      const cases = byId.map((of) => of.get(id));
      const cells = cases.map((found) => found?.[metric.key] ?? { why: "not in this record" });
      const boundaries = cells.flatMap((cell, i) => ("value" in cell ? [records[i].boundary] : []));
      const why = hindrance(cases, metric, boundaries);
      const best = why ? null : contenders(cells, metric.sign, pairs, table);
      let result = why ?? "nothing to compare";
      if (best?.length === 1) {
        tally[best[0]] += 1;
        result = `${best[0] + 1} ${metric.best}`;
      } else if (best) {
        open += 1;
        result = `cannot be told apart: ${best.map((i) => i + 1).join(", ")}`;
      } else none += 1;
      return { id, cells, best, result };
    });
    const parts = tally.flatMap((n, i) => (n ? [`${i + 1} ${metric.best} in ${n}`] : []));
    if (open) parts.push(`${open} cannot be told apart`);
    if (none) parts.push(`${none} not compared`);
    return { ...metric, rows, summary: `Of ${ids.length} cases: ${parts.join(", ")}.` };
  });
}

function warnings(records) {
  const list = [];
  if (!same(records.map(({ suite, digest }) => `${suite} ${digest}`))) {
    list.push("The suites differ: cases with the same name and the same work are compared, under the settings of each suite.");
  }
  if (!same(records.filter(({ boundary, cases }) => boundary && cases.some(({ energy }) => "value" in energy))
    .map(({ boundary }) => boundary))) {
    list.push("The boundaries differ: what the energy is counted of is not the same, so energy is not compared.");
  }
  const simulated = records.flatMap((record, i) => (record.simulated ? [i + 1] : []));
  if (simulated.length) list.push(`No measurement of real hardware: ${simulated.join(", ")}.`);
  const without = records.flatMap((record, i) => (record.cases.some(({ energy }) => "value" in energy) ? [] : [i + 1]));
  if (without.length) list.push(`Energy was not measured: ${without.join(", ")}.`);
  return list;
}

// An element with text, never with markup: every word here may come from outside.
function make(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function tableOf(caption, heads, rows) {
  const table = make("table", {}, make("caption", {}, caption));
  table.append(make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))));
  table.append(make("tbody", {}, ...rows));
  return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption }, table);
}

async function compareInto(place, slugs) {
  let records;
  try {
    records = await Promise.all(slugs.map(load));
  } catch (error) {
    place.replaceChildren(make("p", { class: "empty" }, `The figures of ${error.message} are missing in this site.`));
    return;
  }
  const head = (record, i) => {
    const link = make("a", { href: `r/${record.slug}/index.html` }, record.id);
    const cells = [record.device, record.suite, record.boundary || "–", record.grade || "–"];
    return make("tr", {}, make("th", { scope: "row", class: "place" }, `${i + 1}`), make("td", {}, link), ...cells.map((text) => make("td", {}, text)));
  };
  const parts = [
    ...warnings(records).map((text) => make("p", { class: "notice" }, text)),
    tableOf("The records that are compared", ["No.", "Record", "Device", "Suite", "Energy of", "Grade"], records.map(head)),
  ];
  for (const metric of comparison(records, WATTPROOF)) {
    const rows = metric.rows.map(({ id, cells, best, result }) => make("tr", {},
      make("th", { scope: "row", class: "code" }, id),
      ...cells.map((cell, i) => ("value" in cell
        ? make("td", best?.length === 1 && best[0] === i ? { class: "best" } : {}, cell.text, make("small", {}, cell.spread))
        : make("td", { class: "missing" }, cell.why))),
      make("td", { class: "result" }, result)));
    const heads = ["Case", ...records.map((record, i) => `${i + 1} · ${record.device}`), "Result"];
    parts.push(make("h3", {}, metric.title), make("p", { class: "note" }, metric.summary), tableOf(metric.title, heads, rows));
  }
  place.replaceChildren(...parts);
}
