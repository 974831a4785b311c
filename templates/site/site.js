"use strict";
// Search, filters, order, selection and permalinks of the table. Without scripts it stands there whole; with them only
// STEP rows are in the page at once, so that a keystroke costs the same whether there are a hundred records or a million.
const STEP = 100;
const MOST = 12; // records side by side
const element = (id) => document.getElementById(id);
const body = element("list").tBodies[0];
const rows = [...body.rows];
const places = new Map(WATTPROOF.slugs.map((slug, i) => [slug, i]));
const facets = new Map(WATTPROOF.facets.map((facet) => [facet.key, facet]));
const ranks = new Map(WATTPROOF.ranks.map((ranks) => [ranks.key, ranks.of]));
const heads = [...document.querySelectorAll("#list thead th[data-key]")];
const selects = [...document.querySelectorAll("#find select")];
const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

// All that a permalink holds.
let state;
let shown = STEP;
let order = [];

function read() {
  const link = new URLSearchParams(location.hash.slice(1));
  const [key, way] = (link.get("sort") ?? "").split(" ");
  state = {
    q: link.get("q") ?? "",
    filters: new Map([...facets.values()].flatMap(({ key, values }) => {
      const at = values.indexOf(link.get(key));
      return at < 0 ? [] : [[key, at]];
    })),
    sort: ranks.has(key) ? key : "",
    down: way === "down",
    picked: new Set((link.get("pick") ?? "").split(" ").filter((slug) => places.has(slug))),
    compare: link.get("view") === "compare",
  };
}

function permalink() {
  const link = new URLSearchParams();
  if (state.q) link.set("q", state.q);
  for (const [key, at] of state.filters) link.set(key, facets.get(key).values[at]);
  if (state.sort) link.set("sort", `${state.sort} ${state.down ? "down" : "up"}`);
  if (state.picked.size) link.set("pick", [...state.picked].join(" "));
  if (state.compare) link.set("view", "compare");
  return `#${link}`;
}

// Browsers refuse to write the address bar at every keystroke.
let writing;
function write() {
  clearTimeout(writing);
  writing = setTimeout(() => history.replaceState(null, "", permalink()), 200);
}

function sorted() {
  const of = ranks.get(state.sort);
  const all = rows.map((_, i) => i);
  if (!of) return all;
  const sign = state.down ? -1 : 1;
  // What is not known stays last in either direction.
  return all.sort((a, b) => {
    if (of[a] === null || of[b] === null) return (of[a] === null) - (of[b] === null) || a - b;
    return sign * (of[a] - of[b]) || a - b;
  });
}

function found() {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = [...state.filters].map(([key, at]) => [facets.get(key).of, at]);
  return order.filter((i) =>
    words.every((word) => WATTPROOF.text[i].includes(word)) && wanted.every(([of, at]) => of[i].includes(at)));
}

function show() {
  const hits = found();
  const visible = hits.slice(0, shown).map((i) => rows[i]);
  if (visible.length !== body.rows.length || visible.some((row, i) => row !== body.rows[i])) {
    body.replaceChildren(...visible);
  }
  const all = hits.length === rows.length ? count(hits.length, "record", "records")
    : `${count(hits.length, "record", "records")} of ${rows.length.toLocaleString("en")}`;
  element("hits").textContent = visible.length < hits.length ? `${all}, the first ${visible.length} shown` : all;
  element("more").hidden = visible.length === hits.length;
  element("none").hidden = hits.length > 0;
}

function selection() {
  const n = state.picked.size;
  element("bar").hidden = n === 0;
  element("picked").textContent = n > MOST ? `${n} selected; at most ${MOST} fit side by side` : `${n} selected`;
  element("compare-button").disabled = n < 2 || n > MOST;
}

// Brings the page to the state.
function apply() {
  element("q").value = state.q;
  for (const select of selects) {
    const at = state.filters.get(select.name);
    select.value = at === undefined ? "" : facets.get(select.name).values[at];
  }
  for (const head of heads) {
    if (head.dataset.key === state.sort) head.ariaSort = state.down ? "descending" : "ascending";
    else head.removeAttribute("aria-sort");
  }
  for (const row of rows) {
    const box = row.querySelector("input");
    if (box.checked !== state.picked.has(box.value)) box.checked = !box.checked;
  }
  order = sorted();
  shown = STEP;
  show();
  selection();
  view();
}

async function view() {
  const comparing = state.compare && state.picked.size > 1 && state.picked.size <= MOST;
  if (comparing) await compareInto(element("comparison"), [...state.picked]);
  element("records").hidden = comparing;
  element("compare").hidden = !comparing;
  return comparing;
}

function changed() {
  shown = STEP;
  show();
  write();
}

element("q").addEventListener("input", (event) => {
  state.q = event.target.value;
  changed();
});
for (const select of selects) {
  select.addEventListener("change", () => {
    if (select.value === "") state.filters.delete(select.name);
    else state.filters.set(select.name, facets.get(select.name).values.indexOf(select.value));
    changed();
  });
}
element("find").addEventListener("submit", (event) => event.preventDefault());
element("reset").addEventListener("click", () => {
  Object.assign(state, { q: "", sort: "", down: false });
  state.filters.clear();
  apply();
  write();
  element("q").focus();
});
for (const head of heads) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const { key } = head.dataset;
    // Numbers are wanted from the top, words from the beginning; a third press is the order of the page.
    const first = head.dataset.first === "down";
    if (state.sort !== key) Object.assign(state, { sort: key, down: first });
    else if (state.down === first) state.down = !first;
    else state.sort = "";
    apply();
    write();
  });
}
body.addEventListener("change", (event) => {
  if (event.target.checked) state.picked.add(event.target.value);
  else state.picked.delete(event.target.value);
  selection();
  write();
});
// Rows get their true height as they come into sight, which may move the button while it is pressed.
element("more").addEventListener("pointerdown", (event) => event.target.setPointerCapture(event.pointerId));
element("more").addEventListener("click", () => {
  const next = shown;
  shown += STEP;
  show();
  body.rows[next]?.querySelector("a").focus();
});
element("clear").addEventListener("click", () => {
  state.picked.clear();
  apply();
  write();
  element("q").focus();
});
element("compare-button").addEventListener("click", async () => {
  state.compare = true;
  history.pushState(null, "", permalink());
  if (await view()) element("h-compare").focus();
});
element("back").addEventListener("click", async () => {
  state.compare = false;
  history.replaceState(null, "", permalink());
  await view();
  element("compare-button").focus();
});
document.querySelector(".skip").addEventListener("click", (event) => {
  // The address holds the permalink, so the jump must not replace it.
  event.preventDefault();
  element("main").focus();
});
// Paper takes all that was found.
addEventListener("beforeprint", () => body.replaceChildren(...found().map((i) => rows[i])));
addEventListener("afterprint", show);
addEventListener("hashchange", () => {
  read();
  apply();
});
read();
apply();
