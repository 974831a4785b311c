// The preview server: the same pages over HTTP, under its own policy.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import path from "node:path";
import { after, before, test } from "node:test";
import { start, stop, visit, wattproof, work } from "./visit.js";

let server;
let url;
before(async () => {
  await start();
  server = spawn(wattproof, ["serve", path.join(work, "site"), "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
  url = await new Promise((resolve, reject) => {
    server.stdout.on("data", (data) => resolve(String(data).split("\n")[0]));
    server.on("exit", (code) => reject(new Error(`serve ended with ${code}`)));
  });
});
after(async () => {
  const ended = new Promise((resolve) => server.on("exit", resolve));
  server.kill("SIGINT");
  assert.equal(await ended, 0, "Ctrl-C ends it");
  await stop();
});

test("the site works over HTTP, its comparison and its certificates too", async () => {
  const page = await visit(url);
  await page.fill("#q", "reference-000");
  await page.locator("#list tbody input").nth(0).check();
  await page.locator("#list tbody input").nth(1).check();
  await page.click("#compare-button");
  await page.waitForSelector("#comparison h3");
  await page.goto(`${url}index.html#q=certifiable`);
  await page.reload();
  await page.click("#list tbody a >> nth=0");
  await page.click("text=The document");
  await page.waitForURL((url) => !url.pathname.endsWith("/index.html"));
  assert.match(await page.title(), /WP-/);
  const drawn = await page.evaluate(() => getComputedStyle(document.querySelector("h1")).fontWeight);
  assert.equal(drawn, "650", "the document's own style sheet is allowed");
  await page.finish();
});

test("the script of a report runs under the policy of the server", async () => {
  const page = await visit(`${url}index.html#q=wrong-answer`);
  await page.click("#list tbody a >> nth=0");
  await page.click("text=The whole report");
  await page.locator("#results thead button").first().click();
  assert.equal(await page.locator("#results th[aria-sort]").count(), 1);
  await page.finish();
});
