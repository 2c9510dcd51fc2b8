// The console's frame: API calls, routes, theme, keys, and the overview with its charts. No build step, no dependency but uPlot.
import { pages } from "/pages.js";

// --- small helpers -----------------------------------------------------------------------------------------------------

/** Makes an element: h("a.dim", { href }, "text", child). Text is never read as HTML. */
export function h(tag, ...parts) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const part of parts.flat(3)) {
    if (part == null || part === false) continue;
    if (part instanceof Node) element.append(part);
    else if (typeof part === "object") {
      for (const [key, value] of Object.entries(part)) {
        if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
        else if (value === true) element.setAttribute(key, "");
        else if (value !== false && value != null) element.setAttribute(key, value);
      }
    } else element.append(String(part));
  }
  return element;
}

const units = ["", "k", "M", "G", "T"];
/** A number that fits a cell: 1234567 is 1.23M. */
export function short(value) {
  if (value == null || Number.isNaN(value)) return "–";
  let at = 0;
  while (Math.abs(value) >= 1000 && at < units.length - 1) { value /= 1000; at++; }
  const digits = at === 0 ? (Number.isInteger(value) ? 0 : 1) : Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0;
  return value.toFixed(digits) + units[at];
}
export const bytes = (value) => (value == null ? "–" : `${short(value)}B`);
export const clock = (ms) => new Date(ms).toLocaleTimeString();
export const moment = (ms) => new Date(ms).toLocaleString();
export function span(seconds) {
  if (seconds < 0.01) return `${(seconds * 1000).toFixed(2)} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}
const moods = { up: "good", connecting: "warn", down: "bad", refused: "bad", paused: "warn", stopped: "warn" };
export const pill = (state) => h(`span.pill.${moods[state] ?? "plain"}`, state);

export function table(columns, rows, none) {
  if (!rows.length) return h("p.empty", none);
  const cell = (tag, column, content) => h(column.num ? `${tag}.num` : column.name ? `${tag}.name` : tag, content);
  return h("div.scroll", h("table",
    h("thead", h("tr", columns.map((column) => cell("th", column, column.title)))),
    h("tbody", rows.map((row) => h("tr", columns.map((column) => cell("td", column, column.of(row))))))));
}

export function toast(text, bad = false) {
  const box = h(bad ? "div.toast.bad" : "div.toast", text);
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), bad ? 8000 : 3000);
}

// --- API -----------------------------------------------------------------------------------------------------------------

const TOKEN = "ratatosk-admin-token";
const stored = (key) => { try { return sessionStorage.getItem(key); } catch { return null; } };
let asking = null;

function ask() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("login");
    const input = document.getElementById("token");
    input.value = "";
    dialog.addEventListener("close", () => {
      try { sessionStorage.setItem(TOKEN, input.value); } catch { /* asked again next time */ }
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

async function request(path, options = {}) {
  for (;;) {
    const token = stored(TOKEN);
    const headers = { "X-Ratatosk-Admin": "console", ...options.headers };
    if (token) headers.Authorization = `Bearer ${token}`;
    const response = await fetch(path, { ...options, headers });
    if (response.status !== 401) return response;
    await ask();
  }
}

/** Calls the API; answers the JSON, or throws with the problem's words. */
export async function api(path, method = "GET", body = undefined) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await request(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.detail || answer.title || `${response.status} ${response.statusText}`);
  return answer;
}

/** Does something and says so. */
export async function act(done, path, method = "POST", body = undefined) {
  try {
    const answer = await api(path, method, body);
    toast(done);
    return answer ?? true;
  } catch (error) {
    toast(error.message, true);
    return null;
  }
}

/** Reads an event stream with the token in a header, which EventSource cannot send. Ends with the signal. */
export async function follow(path, signal, opened, each) {
  const response = await request(path, { signal });
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  opened();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.length) each(JSON.parse(data.join("\n")));
    }
  }
}

// --- the samples behind the charts: collected on every page, so that the overview has a past ---------------------------

const KEPT = 300;
const EVERY = 2000;
export const samples = [];
const listeners = new Set();

async function sample() {
  const health = document.getElementById("health");
  try {
    const overview = await api("/api/overview");
    samples.push(overview);
    if (samples.length > KEPT) samples.shift();
    const down = overview.upstreams.filter((upstream) => !["up", "paused"].includes(upstream.state)).length;
    health.className = `pill ${overview.draining ? "warn" : down ? "bad" : "good"}`;
    health.textContent = overview.draining ? "draining" : down ? `${down} upstream${down > 1 ? "s" : ""} down` : "ready";
    listeners.forEach((listener) => listener(overview));
  } catch (error) {
    health.className = "pill bad";
    health.textContent = "no answer";
  }
  setTimeout(sample, EVERY);
}

/** Calls back with the newest overview, now and with each sample, until the signal ends it. */
export function watch(signal, listener) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
  if (samples.length) listener(samples[samples.length - 1]);
}

/** What happened per second between two samples of a connector's total. */
function rate(before, after, name, of) {
  const find = (overview) => overview.connectors.find((connector) => connector.name === name);
  const [old, now] = [find(before), find(after)];
  const seconds = (after.time - before.time) / 1000;
  return old && now && seconds > 0 ? Math.max(0, of(now) - of(old)) / seconds : 0;
}
const dropped = (connector) => Object.values(connector.dropped).reduce((sum, count) => sum + count, 0);
const shown = (overview) => overview.connectors.map((connector) => connector.name);

// --- overview -----------------------------------------------------------------------------------------------------------

const paint = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A connector keeps its colour when others appear. */
const hues = new Map();
function hue(name) {
  if (!hues.has(name)) hues.set(name, hues.size % 8);
  return hues.get(name);
}

function chart(title, unit, series) {
  const [plot, legend] = [h("div.chart"), h("div.legend")];
  const card = h("section.card", h("h2", title), plot, legend);
  let drawn = null, drawnFor = "";
  const draw = (names, data) => {
    const width = plot.clientWidth;
    if (!width || data[0].length < 2) return;
    const key = names.join() + width + (document.documentElement.dataset.theme ?? "") + paint("--ink");
    if (drawn && key === drawnFor) return drawn.setData(data);
    drawn?.destroy();
    drawnFor = key;
    const axis = { stroke: paint("--dim"), grid: { stroke: paint("--line"), width: 1 }, ticks: { stroke: paint("--line"), width: 1 } };
    drawn = new uPlot({
      width, height: 180, legend: { show: false }, cursor: { drag: { x: false, y: false } },
      scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [{ ...axis, space: 70 }, { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => unit(tick)) }],
      series: [{}, ...names.map((name) => ({ label: name, stroke: paint(`--c${hue(name)}`), width: 1.5, points: { show: false } }))],
    }, data, plot);
    legend.replaceChildren(...names.map((name) => h("span", h(`i.swatch${hue(name)}`), name)));
  };
  const update = () => draw(...series());
  addEventListener("resize", update);
  return { card, update, end: () => removeEventListener("resize", update) };
}

/** Rates of a total, one line per connector that ever had one. */
function rates(of) {
  return () => {
    const last = samples[samples.length - 1];
    const names = shown(last).filter((name) => of(last.connectors.find((connector) => connector.name === name)) > 0);
    const times = samples.slice(1).map((overview) => overview.time / 1000);
    const lines = names.map((name) => samples.slice(1).map((overview, at) => rate(samples[at], overview, name, of)));
    return [names.length ? names : ["none"], [times, ...(lines.length ? lines : [times.map(() => 0)])]];
  };
}

function gauges(of) {
  return () => {
    const last = samples[samples.length - 1];
    const names = shown(last).filter((name) => samples.some((overview) => of(overview, name) > 0));
    const times = samples.map((overview) => overview.time / 1000);
    const lines = names.map((name) => samples.map((overview) => of(overview, name)));
    return [names.length ? names : ["none"], [times, ...(lines.length ? lines : [times.map(() => 0)])]];
  };
}

const sessionsOf = (overview, name) => overview.connectors.find((connector) => connector.name === name)?.sessions ?? 0;

function matrix(overview) {
  const froms = [...new Set(overview.latencies.map((pair) => pair.from))];
  const tos = [...new Set(overview.latencies.map((pair) => pair.to))];
  if (!froms.length) return h("p.empty", "No message was delivered yet.");
  const cell = (from, to) => {
    const pair = overview.latencies.find((pair) => pair.from === from && pair.to === to);
    return pair ? h("span", short(pair.count), h("br"), h("small", `p99 ≤ ${span(pair.p99_ms / 1000)}`)) : h("span.dim", "–");
  };
  const columns = [{ title: "from \\ to", of: (from) => h("b", from) }, ...tos.map((to) => ({ title: to, num: true, of: (from) => cell(from, to) }))];
  return table(columns, froms, "");
}

function overviewPage(view, signal) {
  const stat = (title) => { const value = h("b", "–"); const card = h("div.card.stat", value, h("span.dim", title)); return { card, value }; };
  const stats = {
    sessions: stat("sessions"), received: stat("received / s"), delivered: stat("delivered / s"), dropped: stat("dropped"),
    upstreams: stat("upstreams up"), channels: stat("channels"), memory: stat("memory"), uptime: stat("up for"),
  };
  const charts = [
    chart("Delivered per second", short, rates((connector) => connector.delivered)),
    chart("Received per second", short, rates((connector) => connector.received)),
    chart("Sessions", short, gauges(sessionsOf)),
    chart("Dropped per second", short, rates(dropped)),
  ];
  const pairs = h("div");
  const facts = h("dl");
  view.append(
    h("h1", "Overview"),
    h("div.grid.stats", Object.values(stats).map((one) => one.card)),
    h("div.grid.charts", charts.map((one) => one.card)),
    h("section.card", h("h2", "From protocol to protocol, since the start"), pairs),
    h("section.card", h("h2", "This gateway"), facts));
  watch(signal, (now) => {
    const before = samples[samples.length - 2];
    const total = (of) => shown(now).reduce((sum, name) => sum + (before ? rate(before, now, name, of) : 0), 0);
    stats.sessions.value.textContent = short(now.connectors.reduce((sum, connector) => sum + connector.sessions, 0));
    stats.received.value.textContent = short(total((connector) => connector.received));
    stats.delivered.value.textContent = short(total((connector) => connector.delivered));
    const lost = now.connectors.reduce((sum, connector) => sum + dropped(connector), 0);
    stats.dropped.value.textContent = short(lost);
    stats.channels.value.textContent = short(now.channels);
    const up = now.upstreams.filter((upstream) => upstream.state === "up").length;
    stats.upstreams.value.textContent = now.upstreams.length ? `${up} / ${now.upstreams.length}` : "none";
    stats.upstreams.card.classList.toggle("bad", up < now.upstreams.length);
    stats.memory.value.textContent = bytes(now.process.resident_bytes);
    stats.uptime.value.textContent = span(now.uptime_seconds);
    charts.forEach((one) => one.update());
    pairs.replaceChildren(matrix(now));
    const fact = (name, value) => [h("dt", name), h("dd.mono", value)];
    facts.replaceChildren(...[
      fact("version", now.version), fact("gateway", now.gateway_id), fact("position", now.position),
      ...Object.entries(now.listeners).map(([name, address]) => fact(name, address)),
      fact("history", `${short(now.history.messages)} messages, ${bytes(now.history.bytes)}`), fact("last values", short(now.retained)),
      fact("waiting for the fan-out", short(now.lane_messages)), fact("open files", now.process.open_fds ?? "–"),
    ].flat());
  });
  signal.addEventListener("abort", () => charts.forEach((one) => one.end()));
}

// --- routes, theme, keys -------------------------------------------------------------------------------------------------

const routes = [{ id: "overview", title: "Overview", show: overviewPage }, ...pages];
let leaving = new AbortController();

function go() {
  leaving.abort();
  leaving = new AbortController();
  const [id, ...rest] = location.hash.slice(1).split("/");
  const route = routes.find((route) => route.id === id) ?? routes[0];
  document.querySelectorAll("nav a").forEach((link) => {
    if (link.hash === `#${route.id}`) {
      link.setAttribute("aria-current", "page");
      // On a phone the row of pages is wider than the screen.
      link.scrollIntoView({ block: "nearest", inline: "center" });
    } else link.removeAttribute("aria-current");
  });
  document.title = `${route.title} · Ratatosk console`;
  const view = document.getElementById("view");
  view.replaceChildren();
  view.dataset.page = route.id;
  scrollTo(0, 0);
  route.show(view, leaving.signal, rest.map(decodeURIComponent).join("/"));
}

const themes = ["auto", "light", "dark"];
function theme(wanted) {
  if (wanted === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = wanted;
  document.getElementById("theme").textContent = `Theme: ${wanted}`;
  try { localStorage.setItem("ratatosk-theme", wanted); } catch { /* only this time, then */ }
}

function begin() {
  let current = "auto";
  try { current = localStorage.getItem("ratatosk-theme") ?? "auto"; } catch { /* auto, then */ }
  theme(themes.includes(current) ? current : "auto");
  document.getElementById("theme").addEventListener("click", () => {
    current = themes[(themes.indexOf(current) + 1) % themes.length];
    theme(current);
    listeners.forEach((listener) => samples.length && listener(samples[samples.length - 1]));
  });
  document.getElementById("nav").append(...routes.map((route) => h("a", { href: `#${route.id}` }, route.title)));
  const keys = document.getElementById("keys");
  document.getElementById("keys-list").append(...[...routes.map((route, at) => [String(at + 1), route.title]), ["/", "Search on this page"], ["?", "This list"]]
    .flatMap(([key, what]) => [h("dt", h("kbd", key)), h("dd", what)]));
  document.getElementById("help").addEventListener("click", () => keys.showModal());
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
    const route = routes[Number(event.key) - 1];
    if (route) location.hash = route.id;
    else if (event.key === "/") { document.querySelector("main input[type=search]")?.focus(); event.preventDefault(); }
    else if (event.key === "?") keys.showModal();
  });
  addEventListener("hashchange", () => { go(); document.getElementById("view").focus(); });
  go();
  sample();
}

begin();
