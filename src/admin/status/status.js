// Keeps the page up to date, and draws its charts. Values are written as the server has written them.
"use strict";
const PERIOD = 1000; // ms between two looks
const KEPT = 90; // looks that a chart shows
const charts = { inFlight: [], created: [], failed: [], retries: [], calls: [], latency: [] };
let before = null;

const at = (state, pointer) => pointer.split("/").slice(1).reduce((value, key) => value?.[key], state);

function shown(value) {
  if (value === null) return "–";
  if (typeof value === "number") return String(Math.round(value * 100) / 100);
  return value === undefined ? "" : String(value);
}

function fill(state) {
  document.documentElement.dataset.level = state.health.level;
  for (const element of document.querySelectorAll("[data-value]")) {
    const text = shown(at(state, element.dataset.value));
    // What has not changed is not announced anew.
    if (element.textContent !== text) element.textContent = text;
  }
  for (const body of document.querySelectorAll("[data-rows]")) {
    const columns = body.dataset.columns.split(" ");
    body.replaceChildren(...(at(state, body.dataset.rows) ?? []).map((item) => {
      const row = document.createElement("tr");
      for (const column of columns) row.insertCell().textContent = shown(item[column]);
      return row;
    }));
  }
}

// What has been counted since the last look; a worker that has started anew counts from zero.
function measure(state, now) {
  const counted = {
    created: state.jobs.created, failed: state.jobs.failed, retries: state.calls.retries,
    calls: state.calls.total, seconds: state.calls.seconds,
  };
  add("inFlight", state.jobs.inFlight);
  if (before) {
    const time = (now - before.now) / 1000;
    const since = (name) => Math.max(counted[name] - before.counted[name], 0);
    for (const name of ["created", "failed", "retries", "calls"]) {
      const rate = since(name) / time;
      add(name, rate);
      document.querySelector(`[data-rate="${name}"]`).textContent = `${rate.toFixed(rate < 10 ? 1 : 0)} a second`;
    }
    const latency = since("calls") ? (since("seconds") / since("calls")) * 1000 : null;
    add("latency", latency ?? 0);
    document.querySelector("[data-latency]").textContent = latency === null ? "–" : String(Math.round(latency));
  }
  before = { counted, now };
}

function add(name, value) {
  const values = charts[name];
  values.push(value);
  if (values.length > KEPT) values.shift();
  draw(document.querySelector(`[data-chart="${name}"]`), values);
}

function draw(svg, values) {
  const most = Math.max(...values, 1e-9);
  const points = values.map((value, index) => [KEPT - values.length + index, 30 - (value / most) * 28]);
  const text = points.map(([x, y]) => `${x},${y.toFixed(2)}`).join(" ");
  svg.setAttribute("viewBox", `0 0 ${KEPT - 1} 31`);
  svg.setAttribute("preserveAspectRatio", "none");
  const first = points[0][0];
  const shape = (name, points) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    element.setAttribute("points", points);
    return element;
  };
  svg.replaceChildren(shape("polygon", `${first},31 ${text} ${KEPT - 1},31`), shape("polyline", text));
}

async function look() {
  try {
    const answer = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(PERIOD * 4) });
    if (!answer.ok) throw new Error(String(answer.status));
    const state = await answer.json();
    fill(state);
    measure(state, performance.now());
  } catch {
    document.documentElement.dataset.level = "bad";
    document.getElementById("health").textContent = "no answer from the worker";
  }
  setTimeout(look, PERIOD);
}

look();
