// A visit to a page in a real Chromium, watched: whatever the page asks the network for, whatever it logs as an error and
// whatever dialog it opens is a finding. Pages are what `run.sh` has made in target/browser/work.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const home = path.join(root, "target/browser");
const installed = createRequire(path.join(home, "package.json"));
const { chromium } = installed("playwright-core");
const axeSource = readFileSync(installed.resolve("axe-core/axe.min.js"), "utf8");

export const work = path.join(home, "work");
export const shots = path.join(home, "shots");
export const wattproof = process.env.WATTPROOF ?? path.join(root, "target/release/wattproof");
mkdirSync(shots, { recursive: true });

/** The address of a file below target/browser/work. */
export const file = (...parts) => pathToFileURL(path.join(work, ...parts)).href;

/** Whether a file below target/browser/work is there. */
export const made = (...parts) => existsSync(path.join(work, ...parts));

let browser;

/** Starts the system's Chromium; to be called in `before`. */
export async function start() {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic"],
  });
}

/** Ends it; to be called in `after`. */
export const stop = () => browser?.close();

/**
 * Opens `url`. `options` are those of Playwright's newContext, and `page.finish()` asserts that nothing was wrong and
 * closes the page.
 */
export async function visit(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1366, height: 900 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const wrong = [];
  const allowed = /^(file:|http:\/\/(127\.0\.0\.1|\[::1\])[:/]|data:|blob:|about:)/;
  page.on("request", (request) => allowed.test(request.url()) || wrong.push(`request to ${request.url()}`));
  page.on("requestfailed", (request) => wrong.push(`failed: ${request.url()}`));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("dialog", (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    return dialog.dismiss();
  });
  page.wrong = wrong;
  page.finish = async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  };
  await page.goto(url, { timeout: 180_000 });
  return page;
}

/** Fails on any serious or critical finding of axe-core. The page's policy forbids scripts of others, so a world apart is used. */
export async function accessible(page) {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId: contextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await session.send("Runtime.evaluate",
      { expression, contextId, awaitPromise: true, returnByValue: true });
    assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
    return result.value;
  };
  await evaluate(`${axeSource}; undefined`);
  const found = await evaluate(`axe.run(document, { resultTypes: ["violations"], preload: false }).then(({ violations, passes }) => ({
    passed: passes.length,
    grave: violations.filter(({ impact }) => ["serious", "critical"].includes(impact)).map(({ id, impact, nodes }) =>
      [id, impact, nodes.length, nodes[0].html.slice(0, 200), nodes[0].failureSummary]),
  }))`);
  assert.ok(found.passed > 10, "axe looked at the page");
  assert.deepEqual(found.grave, []);
}

/** Fails where the page can be scrolled sideways. */
export async function fits(page) {
  const { wide, width } = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth,
    width: document.documentElement.clientWidth,
  }));
  assert.ok(wide <= width, `the page is ${wide} px wide in a window of ${width} px`);
}

/** Walks through a page that was just loaded with the Tab key: what was reached, each with its place and whether its focus can be seen. */
export async function walk(page, most = 400) {
  const stops = [];
  for (let i = 0; i < most; i += 1) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      const style = getComputedStyle(element);
      const box = element.getBoundingClientRect();
      element.dataset.walked ??= String(Math.random());
      return {
        key: element.dataset.walked,
        name: `${element.tagName.toLowerCase()}${element.id ? `#${element.id}` : ""} ${element.textContent.trim().slice(0, 40)}`,
        outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
        inSight: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
      };
    });
    if (!stop || stops.some(({ key }) => key === stop.key)) break;
    stops.push(stop);
  }
  for (const { name, outlined, inSight } of stops) {
    assert.ok(outlined, `the focus cannot be seen on ${name}`);
    assert.ok(inSight, `${name} has the focus out of sight`);
  }
  return stops.map(({ name }) => name);
}

/** What of the page would be cut on A4 paper. */
export async function onPaper(page, landscape = false) {
  const size = landscape ? { width: 1030, height: 717 } : { width: 702, height: 1010 };
  await page.setViewportSize(size);
  await page.emulateMedia({ media: "print" });
  const cut = await page.evaluate(() => [...document.querySelectorAll("body *")].flatMap((element) => {
    const style = getComputedStyle(element);
    // A watermark is meant to reach beyond its page.
    if (element.closest("[hidden],[aria-hidden=true]") || style.display === "none" || style.visibility === "hidden") return [];
    const box = element.getBoundingClientRect();
    const hides = ["hidden", "auto", "scroll", "clip"].includes(style.overflowX) && element.scrollWidth > element.clientWidth + 1;
    const beyond = box.width > 1 && box.right > innerWidth + 1;
    return hides || beyond ? [`${element.tagName} ${element.id} ${element.className} ${box.right}`] : [];
  }));
  await page.emulateMedia({ media: null });
  return cut;
}

/** A picture for people to look at. */
export const shot = (page, name, options = {}) => page.screenshot({ path: path.join(shots, `${name}.png`), ...options });
