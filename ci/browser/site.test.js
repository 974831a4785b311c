// The site in a browser: search, order, filters, selection, comparison, permalinks, keyboard, screen reader, paper, theme.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { accessible, file, fits, onPaper, shot, start, stop, visit, walk, work } from "./visit.js";

before(start);
after(stop);

const site = path.join(work, "site");
const index = file("site", "index.html");
const data = JSON.parse(readFileSync(path.join(site, "data.js"), "utf8").replace(/^const WATTPROOF = /, "").replace(/;\n$/, ""));
const N = data.slugs.length;
const facet = (key) => data.facets.find((facet) => facet.key === key);
const text = (page, selector) => page.locator(selector).innerText();
const column = (page, n) => page.$$eval("#list tbody tr", (rows, n) => rows.map((row) => row.cells[n].textContent.trim()), n); // rows out of sight have no innerText
const ids = (page) => column(page, 1);
const settled = (page) => page.waitForTimeout(300); // the address is written a moment after the last keystroke

test("the whole table is there without scripts, and nothing that needs them", async () => {
  const page = await visit(index, { javaScriptEnabled: false });
  assert.equal(await page.locator("#list tbody tr").count(), N);
  assert.ok(N > 100, "more records than the script shows at once");
  for (const selector of ["#find", "#theme", "#bar", "#more", "#compare", "#list input >> nth=0"]) {
    assert.equal(await page.locator(selector).isVisible(), false, selector);
  }
  await shot(page, "site-without-scripts");
  await page.finish();
});

test("a search takes all words in any case, and says how many were found", async () => {
  const page = await visit(index);
  assert.match(await text(page, "#hits"), new RegExp(`^${N} records, the first 100 shown$`));
  await page.fill("#q", "XEON gemm");
  const wanted = data.text.filter((text) => text.includes("xeon") && text.includes("gemm")).length;
  assert.ok(wanted > 0 && wanted < N);
  assert.match(await text(page, "#hits"), new RegExp(`^${wanted} records of ${N}`));
  assert.equal(await page.locator("#hits").getAttribute("role"), "status");
  for (const device of await column(page, 3)) assert.match(device, /Xeon/);
  await page.fill("#q", "no such thing");
  assert.match(await text(page, "#hits"), /^0 records/);
  assert.equal(await page.locator("#none").isVisible(), true);
  await page.click("#reset");
  assert.match(await text(page, "#hits"), new RegExp(`^${N} records`));
  await page.finish();
});

test("every column sorts both ways, with what is unknown last", async () => {
  const page = await visit(index);
  const keys = await page.$$eval("#list thead th[data-key]", (heads) => heads.map((head) => head.dataset.key));
  assert.equal(keys.length, 10);
  const original = await ids(page);
  for (const key of keys) {
    const head = page.locator(`#list th[data-key=${key}]`);
    const of = data.ranks.find((ranks) => ranks.key === key).of;
    const seen = [];
    for (let press = 0; press < 2; press += 1) {
      await head.locator("button").click();
      const way = await head.getAttribute("aria-sort");
      seen.push(way);
      const slugs = await page.$$eval("#list tbody input", (boxes) => boxes.map((box) => box.value));
      const places = slugs.map((slug) => of[data.slugs.indexOf(slug)]);
      const known = places.filter((place) => place !== null);
      assert.deepEqual(places.slice(0, known.length), known, `${key}: unknown ones are last`);
      for (let i = 1; i < known.length; i += 1) {
        assert.ok(way === "ascending" ? known[i - 1] <= known[i] : known[i - 1] >= known[i], `${key} ${way} at ${i}`);
      }
    }
    assert.deepEqual(seen.sort(), ["ascending", "descending"]);
    assert.equal(await page.locator("#list th[aria-sort]").count(), 1);
    await head.locator("button").click();
    assert.deepEqual(await ids(page), original, "the third press restores the order of the page");
  }
  // The ranks follow what stands in the table, not only themselves.
  await page.locator("#list th[data-key=date] button").click();
  const dates = await column(page, 2);
  assert.deepEqual(dates, [...dates].sort().reverse());
  await page.finish();
});

test("filters narrow the table, alone and together", async () => {
  const page = await visit(index);
  for (const key of ["vendor", "device", "kernel", "dtype", "class", "energy"]) {
    const { values, counts } = facet(key);
    assert.ok(values.length > 1 || key === "class", `${key} has something to choose from`);
    await page.selectOption(`#f-${key}`, values.at(-1));
    assert.match(await text(page, "#hits"), new RegExp(`^${counts.at(-1)} records?( |$)`), key);
    await page.selectOption(`#f-${key}`, "");
  }
  await page.selectOption("#f-vendor", "Intel");
  await page.selectOption("#f-energy", "not measured");
  const wanted = data.slugs.filter((_, i) =>
    facet("vendor").of[i].includes(facet("vendor").values.indexOf("Intel")) &&
    facet("energy").of[i].includes(facet("energy").values.indexOf("not measured"))).length;
  assert.match(await text(page, "#hits"), new RegExp(`^${wanted} records?( |$)`));
  for (const cell of await column(page, 8)) assert.equal(cell, "not measured");
  await page.finish();
});

test("a hundred more rows come on demand, and the focus goes to the first of them", async () => {
  const page = await visit(index);
  await page.click("#more");
  assert.equal(await page.locator("#list tbody tr").count(), Math.min(200, N));
  assert.equal(await page.evaluate(() => document.activeElement.closest("tr").rowIndex), 101);
  await page.finish();
});

test("a button that moves while it is pressed is pressed all the same", async () => {
  const page = await visit(index);
  const more = page.locator("#more");
  await more.scrollIntoViewIfNeeded();
  await more.hover();
  await page.mouse.down();
  await page.evaluate(() => {
    document.documentElement.style.overflowAnchor = "none";
    document.querySelector("#list").style.marginBottom = "200px";
  });
  await page.mouse.up();
  assert.equal(await page.locator("#list tbody tr").count(), Math.min(200, N));
  await page.finish();
});

test("a selection is compared, and only what can be told apart is called better", async () => {
  const page = await visit(index);
  await page.fill("#q", "reference-00");
  const boxes = page.locator("#list tbody input");
  for (const at of [0, 1, 2]) await boxes.nth(at).check();
  assert.equal(await text(page, "#picked"), "3 selected");
  await page.click("#compare-button");
  assert.equal(await page.evaluate(() => document.activeElement.id), "h-compare");
  assert.equal(await page.locator("#records").isVisible(), false);
  assert.equal(await page.locator("#comparison table").count(), 4);
  assert.match(await text(page, "#comparison"), /cannot be told apart/);
  assert.match(await text(page, "#comparison .notice >> nth=0"), /No measurement of real hardware: 1, 2, 3/);
  // A figure of the comparison is that of the record's own page.
  const [name, time] = await page.$eval("#comparison h3 ~ .scroll tbody tr", (row) =>
    [row.cells[0].innerText, row.cells[1].firstChild.textContent]);
  const link = await page.locator("#comparison tbody a").first().getAttribute("href");
  const own = await visit(file("site", link));
  const [value, unit] = await own.$$eval("table", (tables, name) => {
    const row = [...tables[0].tBodies[0].rows].find((row) => row.cells[0].innerText === name);
    return [row.cells[2].firstChild.textContent, tables[0].tHead.rows[0].cells[2].innerText];
  }, name);
  assert.ok(time.startsWith(value) && unit.includes(time.split(" ")[1]), `${time} against ${value} ${unit}`);
  await own.finish();
  await shot(page, "site-comparison", { fullPage: true });
  await page.click("#back");
  assert.equal(await page.evaluate(() => document.activeElement.id), "compare-button");
  await page.click("#clear");
  assert.equal(await page.locator("#bar").isVisible(), false);
  await page.finish();
});

test("a record is never better than itself, and never without energy", async () => {
  const page = await visit(index);
  const pick = async (words) => {
    const slugs = words.map((word) => data.slugs.find((slug) => slug.includes(word)));
    await page.goto("about:blank");
    await page.goto(`${index}#pick=${slugs.join("+")}&view=compare`);
    await page.waitForSelector("#comparison h3");
    return page.$$eval("#comparison .result", (cells) => cells.map((cell) => cell.innerText));
  };
  // Number 0 and number 2 are the same machine but for its speed; 3 has no counter.
  const results = await pick(["reference-0000", "reference-0003"]);
  assert.ok(results.every((result) => !/energy|joule/.test(result)), "nothing is said of energy that was not measured");
  assert.match(await text(page, "#comparison"), /Energy was not measured: 2\./);
  const other = await pick(["reference-0000", "reference-0005"]);
  assert.match(await text(page, "#comparison"), /not in this record/);
  assert.ok(other.includes("nothing to compare"));
  const different = await pick(["reference-0000", "certifiable"]);
  assert.match(await text(page, "#comparison"), /The suites differ/);
  assert.ok(different.length > 0);
  await page.finish();
});

test("a permalink holds search, filters, order, selection and view", async () => {
  const page = await visit(index);
  await page.fill("#q", "gemm");
  await page.selectOption("#f-vendor", "AMD");
  await page.locator("#list th[data-key=rate] button").click();
  await page.locator("#list tbody input").nth(0).check();
  await page.locator("#list tbody input").nth(3).check();
  await settled(page);
  const state = async (page) => ({
    hits: await text(page, "#hits"),
    rows: await ids(page),
    q: await page.inputValue("#q"),
    vendor: await page.inputValue("#f-vendor"),
    sort: await page.locator("#list th[data-key=rate]").getAttribute("aria-sort"),
    picked: await text(page, "#picked"),
  });
  const [before, link] = [await state(page), page.url()];
  assert.equal(before.sort, "descending");
  await page.reload();
  assert.deepEqual(await state(page), before);
  const other = await visit(link);
  assert.deepEqual(await state(other), before);
  await other.click("#compare-button");
  const compared = await text(other, "#comparison");
  await other.reload();
  await other.waitForSelector("#comparison h3");
  assert.equal(await text(other, "#comparison"), compared);
  await other.goBack();
  await other.waitForSelector("#list", { state: "visible" });
  await other.finish();
  await page.finish();
});

test("hostile permalinks do nothing", async () => {
  for (const hash of [
    "q=<img src=x onerror=alert(1)>&vendor=nope&sort=__proto__ down&pick=../../../etc/passwd constructor",
    "pick=__proto__+x&view=compare", "sort=constructor&view=compare", "%", "=&=&&", "q=%u2028%ff", "main",
  ]) {
    const page = await visit(`${index}#${hash}`);
    assert.equal(await page.locator("#records").isVisible(), true, hash);
    assert.equal(await page.locator("#bar").isVisible(), false, hash);
    assert.equal(await page.locator("#list th[aria-sort]").count(), 0, hash);
    await page.finish();
  }
});

test("hostile records are text", async () => {
  const slug = data.slugs[data.text.findIndex((text) => text.includes("onerror=alert"))];
  assert.ok(slug, "the hostile record is in the site");
  assert.match(slug, /^[a-z0-9-]+$/);
  const page = await visit(`${index}#q=onerror`);
  assert.match((await column(page, 3)).join(), /<script>alert\(1\)<\/script>/);
  assert.equal(await page.locator("img").count(), 0);
  const other = data.slugs.find((s) => s.includes("reference-0000"));
  await page.goto("about:blank");
  await page.goto(`${index}#pick=${slug}+${other}&view=compare`);
  await page.waitForSelector("#comparison h3");
  assert.match(await text(page, "#comparison"), /<script>/);
  assert.equal(await page.locator("#comparison img, #comparison script").count(), 0);
  await shot(page, "site-hostile-comparison");
  await page.goto(file("site", "r", slug, "index.html"));
  assert.equal(await page.locator("img").count(), 0);
  await fits(page);
  await page.finish();
  const list = await visit(file("site", "left-out.html"));
  const reasons = await text(list, "table");
  for (const why of ["schema 99", "not a valid record", "changed after the run", "the same record as"]) {
    assert.ok(reasons.includes(why), why);
  }
  await accessible(list);
  await list.finish();
});

test("a certificate stands on the page of its record with the command that verifies it", async () => {
  const slug = data.slugs.find((slug) => slug.includes("certifiable"));
  const page = await visit(file("site", "r", slug, "index.html"));
  const command = await page.locator("code", { hasText: "wattproof verify WP-" }).innerText();
  const bundle = command.split(" ").at(-1);
  const verified = execFileSync(process.env.WATTPROOF ?? "target/release/wattproof", ["verify", path.join(site, "r", slug, bundle)]);
  assert.match(String(verified), /VERIFIED/);
  await shot(page, "site-certified-record", { fullPage: true });
  await page.click("text=The document");
  await page.waitForURL((url) => !url.pathname.endsWith("/index.html"));
  assert.match(await page.title(), /WP-/);
  await page.finish();
});

test("every link of the site leads to a file of the site", async () => {
  let links = 0;
  for (const name of readdirSync(site, { recursive: true }).filter((name) => /^(index|left-out|r\/[^/]*\/index)\.html$/.test(name))) {
    const here = file("site", name);
    for (const [, href] of readFileSync(path.join(site, name), "utf8").matchAll(/(?:href|src)="([^"]*)"/g)) {
      const to = new URL(href.replaceAll("&#x2f;", "/").replaceAll("&amp;", "&"), here);
      assert.ok(existsSync(fileURLToPath(new URL(to.pathname, here))), `${name}: ${href}`);
      links += 1;
    }
  }
  assert.ok(links > 4 * N);
});

test("light and dark follow the system, and the switch", async () => {
  const ground = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await visit(index, { colorScheme: "dark" });
  assert.equal(await ground(dark), "rgb(15, 20, 18)");
  await accessible(dark);
  await shot(dark, "site-dark");
  await dark.click("#theme");
  assert.equal(await ground(dark), "rgb(255, 255, 255)");
  await dark.click("#list tbody a >> nth=0");
  // A click does not wait for the next page and its style sheet.
  await dark.waitForURL("**/r/*/index.html");
  assert.equal(await ground(dark), "rgb(255, 255, 255)", "the choice stays on the next page");
  await dark.finish();
  const light = await visit(index, { colorScheme: "light" });
  assert.equal(await ground(light), "rgb(255, 255, 255)");
  await accessible(light);
  await shot(light, "site-light");
  await light.finish();
});

test("everything is reached by the keyboard, and the focus is seen", async () => {
  const page = await visit(`${index}#q=reference-000`);
  await page.locator("#list tbody input").nth(0).check();
  await page.locator("#list tbody input").nth(1).check();
  const rows = await page.locator("#list tbody tr").count();
  await settled(page);
  await page.reload();
  const stops = await walk(page);
  for (const name of ["a Skip to the records", "button#theme", "input#q", "select#f-vendor", "button#reset", "button#compare-button"]) {
    assert.ok(stops.some((stop) => stop.startsWith(name)), `${name} is reached: ${stops}`);
  }
  assert.equal(stops.filter((stop) => stop.startsWith("button Date")).length, 1);
  assert.equal(stops.filter((stop) => stop.startsWith("input")).length, rows + 1);
  // Enter sorts, Space selects, Enter follows the skip link.
  await page.locator("#list th[data-key=date] button").focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#list th[data-key=date]").getAttribute("aria-sort"), "descending");
  await page.locator("#list tbody input").nth(2).focus();
  await page.keyboard.press("Space");
  assert.equal(await text(page, "#picked"), "3 selected");
  await page.locator(".skip").focus();
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  assert.match(page.url(), /q=reference-000/, "the permalink stays");
  await page.locator("#compare-button").focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("#comparison h3");
  await page.reload();
  await page.waitForSelector("#comparison h3");
  assert.ok((await walk(page)).some((stop) => stop.startsWith("button#back")));
  await accessible(page);
  await page.finish();
});

test("a screen reader finds a table, though its rows are grids", async () => {
  const page = await visit(`${index}#q=reference-000`);
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send("Accessibility.getFullAXTree");
  const count = (role) => nodes.filter((node) => !node.ignored && node.role?.value === role).length;
  const rows = await page.locator("#list tbody tr").count();
  assert.equal(count("table"), 1);
  assert.equal(count("row"), rows + 1);
  assert.equal(count("columnheader"), 11);
  assert.equal(count("rowheader"), rows);
  assert.equal(count("cell"), rows * 10);
  await page.finish();
});

test("nothing is wider than a phone", async () => {
  const hostile = data.slugs[data.text.findIndex((text) => text.includes("onerror=alert"))];
  const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
  const pages = {
    index, compare: `${index}#pick=${data.slugs[3]}+${data.slugs[4]}+${data.slugs[5]}&view=compare`,
    record: file("site", "r", data.slugs[0], "index.html"), hostile: file("site", "r", hostile, "index.html"),
    "left-out": file("site", "left-out.html"),
  };
  for (const [name, url] of Object.entries(pages)) {
    const page = await visit(url, phone);
    if (name === "compare") await page.waitForSelector("#comparison h3");
    await fits(page);
    await shot(page, `phone-${name}`);
    if (name === "index" || name === "record") await accessible(page);
    await page.finish();
  }
});

test("no width of a window cuts the table", async () => {
  for (const width of [320, 600, 900, 1100, 1199, 1201, 1280, 1440, 1920]) {
    const page = await visit(index, { viewport: { width, height: 800 } });
    await page.locator("#list tbody input").nth(0).check();
    await fits(page);
    const beyond = await page.$$eval("#list tr:nth-child(-n+9) > *, #bar button", (cells) =>
      cells.filter((cell) => cell.getBoundingClientRect().right > innerWidth + 1 || cell.scrollWidth > cell.clientWidth + 1)
        .map((cell) => cell.textContent));
    assert.deepEqual(beyond, [], `${width} px`);
    await page.finish();
  }
});

test("paper takes every hit and cuts nothing", async () => {
  const page = await visit(index);
  const paper = path.join(work, "site.pdf");
  await page.pdf({ path: paper, format: "A4", landscape: true, preferCSSPageSize: true });
  const printed = execFileSync("pdftotext", ["-layout", paper, "-"], { maxBuffer: 1 << 26 }).toString();
  assert.equal(await page.locator("#list tbody tr").count(), 100, "the screen is as it was");
  // One row a date, hours and minutes below it.
  assert.ok((printed.match(/simulated/g) ?? []).length >= N - 10, "all records are on paper");
  assert.deepEqual(await onPaper(page, true), []);
  assert.ok(statSync(paper).size > 10_000);
  await page.finish();
  const record = await visit(file("site", "r", data.slugs[0], "index.html"));
  assert.deepEqual(await onPaper(record, true), []);
  await record.finish();
});

test("records, comparison and certificates pass axe in light and dark", async () => {
  const certified = data.slugs.find((slug) => slug.includes("certifiable"));
  for (const colorScheme of ["light", "dark"]) {
    for (const url of [
      file("site", "r", data.slugs[0], "index.html"), file("site", "r", certified, "index.html"),
      `${index}#pick=${data.slugs[3]}+${data.slugs[4]}&view=compare`,
    ]) {
      const page = await visit(url, { colorScheme });
      await page.waitForLoadState("load");
      await accessible(page);
      await page.finish();
    }
  }
});
