// Reports, certificates, refusals and comparisons in a browser.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import path from "node:path";
import { after, before, test } from "node:test";
import { accessible, file, fits, made, onPaper, shot, start, stop, visit, walk, work } from "./visit.js";

before(start);
after(stop);

const PAGES = {
  "report": ["reports", "rapl", "report.html"],
  "report-wrong": ["reports", "wrong", "report.html"],
  "certificate": ["specimens", "certified-certificate.html"],
  "refusal": ["specimens", "refused-certificate.html"],
  "inconclusive": ["specimens", "inconclusive-certificate.html"],
  "certificate-hostile": ["specimens", "hostile-certificate.html"],
  "compare": ["compare", "compare.html"],
};
const skip = (name) => (made(...PAGES[name]) ? false : "this build has no `wattproof compare`");

for (const name of Object.keys(PAGES)) {
  test(`${name}: light and dark pass axe, a phone is wide enough`, { skip: skip(name) }, async () => {
    for (const colorScheme of ["light", "dark"]) {
      const page = await visit(file(...PAGES[name]), { colorScheme });
      await accessible(page);
      await shot(page, `${name}-${colorScheme}`);
      await page.finish();
    }
    const phone = await visit(file(...PAGES[name]), { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
    await fits(phone);
    await shot(phone, `${name}-phone`);
    await accessible(phone);
    await phone.finish();
  });

  test(`${name}: the theme follows the system`, { skip: skip(name) }, async () => {
    const page = await visit(file(...PAGES[name]), { colorScheme: "light" });
    const grounds = [];
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      grounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
    }
    assert.notEqual(grounds[0], grounds[1]);
    await page.finish();
  });

  test(`${name}: every stop of the keyboard is seen`, { skip: skip(name) }, async () => {
    const page = await visit(file(...PAGES[name]));
    const stops = await walk(page);
    assert.ok(stops.length > 5, String(stops));
    assert.match(stops[0], /^a Skip/);
    await page.finish();
  });

  test(`${name}: nothing is cut on paper`, { skip: skip(name) }, async () => {
    const page = await visit(file(...PAGES[name]));
    const last = await page.evaluate(() => [...document.querySelectorAll("h2")].at(-1).textContent.trim());
    const paper = path.join(work, `${name}.pdf`);
    await page.pdf({ path: paper, preferCSSPageSize: true });
    assert.ok(execFileSync("pdftotext", [paper, "-"], { maxBuffer: 1 << 26 }).toString().includes(last), last);
    assert.deepEqual(await onPaper(page), []);
    await page.finish();
  });
}

test("report: columns sort by Enter and Space, and say so", async () => {
  const page = await visit(file(...PAGES.report));
  const head = page.locator("#results thead th").nth(2);
  const values = () => page.$$eval("#results tbody tr", (rows) => rows.map((row) => Number(row.cells[2].dataset.sort)));
  await head.locator("button").focus();
  await page.keyboard.press("Enter");
  assert.equal(await head.getAttribute("aria-sort"), "descending");
  const falling = await values();
  assert.deepEqual(falling, [...falling].sort((a, b) => b - a));
  await page.keyboard.press("Space");
  assert.equal(await head.getAttribute("aria-sort"), "ascending");
  assert.deepEqual(await values(), [...falling].sort((a, b) => a - b));
  await page.finish();
});

test("refusal: it cannot be taken for a certificate", async () => {
  const page = await visit(file(...PAGES.refusal));
  assert.match(await page.locator("main").innerText(), /NOT CERTIFIED/);
  assert.equal(await page.locator(".letter").count(), 0);
  await page.finish();
  const certified = await visit(file(...PAGES.certificate));
  assert.match(await certified.locator(".letter").innerText(), /^[A-G]$/);
  await certified.finish();
});
