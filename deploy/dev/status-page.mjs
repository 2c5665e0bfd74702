// Opens a page in headless Chromium, lets it run, takes a picture of it, and prints what it shows as JSON.
//
//   node status-page.mjs URL PNG SECONDS
//
// It speaks the browser's own protocol over a pipe, so that the page runs in real time: with the virtual time of
// `--virtual-time-budget` its rates would be wrong.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const [url, png, seconds] = process.argv.slice(2);
const profile = await mkdtemp(join(tmpdir(), "status-page-"));
const flags = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
  "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
];
const browser = spawn("chromium", [...flags, `--user-data-dir=${profile}`], {
  stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
});
const ended = new Promise((resolve) => browser.on("exit", resolve));

const waiting = new Map();
let rest = "";
browser.stdio[4].on("data", (data) => {
  const messages = (rest + data).split("\0");
  rest = messages.pop();
  for (const { id, result, error } of messages.map((text) => JSON.parse(text))) {
    waiting.get(id)?.[error ? "reject" : "resolve"](error ? new Error(error.message) : result);
  }
});

function call(method, params = {}, sessionId = undefined) {
  const id = waiting.size + 1;
  browser.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

// What stands in the page when its script has run, and whether anything was refused to it.
const LOOK = `JSON.stringify({
  health: document.getElementById("health").textContent,
  level: document.documentElement.dataset.level,
  created: document.querySelector('[data-value="/jobs/created"]').textContent,
  rate: document.querySelector('[data-rate="created"]').textContent,
  latency: document.querySelector("[data-latency]").textContent,
  points: document.querySelector('[data-chart="created"] polyline')?.getAttribute("points").split(" ").length ?? 0,
  organisations: document.querySelectorAll('[data-rows="/organisations"] tr').length,
  failures: document.querySelectorAll('[data-rows="/lastFailures"] tr').length,
  isWiderThanItsWindow: document.documentElement.scrollWidth > innerWidth,
  refused: window.refused,
})`;

try {
  const { targetId } = await call("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await call("Target.attachToTarget", { targetId, flatten: true });
  const inPage = (method, params) => call(method, params, sessionId);
  const size = (width, height) =>
    inPage("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
  await inPage("Page.enable");
  await inPage("Page.addScriptToEvaluateOnNewDocument", {
    source: 'window.refused = []; addEventListener("securitypolicyviolation", (e) => refused.push(e.violatedDirective));',
  });
  await size(1120, 800);
  await inPage("Page.navigate", { url });
  await sleep(Number(seconds) * 1000);
  const look = async () => JSON.parse((await inPage("Runtime.evaluate", { expression: LOOK })).result.value);
  const wide = await look();
  const { cssContentSize } = await inPage("Page.getLayoutMetrics");
  await size(1120, Math.ceil(cssContentSize.height));
  const { data } = await inPage("Page.captureScreenshot", { format: "png" });
  await writeFile(png, Buffer.from(data, "base64"));
  await size(360, 740);
  const narrow = await look();
  console.log(JSON.stringify({ wide, narrow }));
} finally {
  await call("Browser.close").catch(() => browser.kill());
  await ended;
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
}
