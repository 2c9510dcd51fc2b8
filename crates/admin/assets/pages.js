// The pages behind the overview. Each is { id, title, show(view, signal, rest) }; signal ends what the page started.
import { h, api, act, bytes, clock, follow, moment, pill, short, span, table, toast, watch } from "/console.js";
import { tryPage } from "/try.js";

const AGAIN = 3000;

/** Calls now and again until the signal ends it; says once what is wrong. */
function poll(signal, work, every = AGAIN) {
  let told = "";
  const round = async () => {
    if (signal.aborted) return;
    try { await work(); told = ""; } catch (error) {
      if (!signal.aborted && told !== error.message) toast(told = error.message, true);
    }
    if (!signal.aborted) setTimeout(round, every);
  };
  round();
}

const value = (message) => (message.encoding === "base64" ? `base64: ${message.data}` : typeof message.data === "string" ? message.data : JSON.stringify(message.data));
const field = (label, control) => h("label", label, control);
const confirmed = (question) => confirm(question);

// --- connectors ----------------------------------------------------------------------------------------------------------

function connectors(view, signal) {
  const body = h("section.card");
  view.append(h("h1", "Connectors"), body, h("p.dim", "Totals since the start. A connector named http, admin or gateway publishes without sessions of its own."));
  watch(signal, (now) => {
    const lost = (connector) => Object.entries(connector.dropped).filter(([, count]) => count > 0);
    body.replaceChildren(table([
      { title: "Connector", of: (one) => h("b", one.name) },
      { title: "Sessions", num: true, of: (one) => one.sessions ? h("a", { href: `#sessions/${one.name}` }, short(one.sessions)) : "0" },
      { title: "Received", num: true, of: (one) => short(one.received) },
      { title: "Bytes in", num: true, of: (one) => bytes(one.received_bytes) },
      { title: "Delivered", num: true, of: (one) => short(one.delivered) },
      { title: "Bytes out", num: true, of: (one) => bytes(one.delivered_bytes) },
      { title: "Waiting", num: true, of: (one) => short(one.outbox) },
      { title: "Dropped", of: (one) => lost(one).map(([reason, count]) => h("span.pill.warn", `${reason} ${short(count)}`)) },
    ], now.connectors, "No connector yet."));
  });
}

// --- a list in pages -----------------------------------------------------------------------------------------------------

/** A list with a search box and "next"; `load(query)` answers { rows, next, total }. */
function paged(signal, { columns, none, load, tools = [], word }) {
  const search = h("input", { type: "search", placeholder: "part of a name", "aria-label": "Search" });
  const body = h("div");
  const [first, next, count] = [h("button", { type: "button" }, "First page"), h("button", { type: "button" }, "Next page"), h("span.dim")];
  let after = null, following = null;
  const show = async () => {
    const { rows, next: more, total } = await load({ q: search.value, after });
    if (signal.aborted) return;
    following = more;
    first.disabled = after === null;
    next.disabled = !more;
    count.textContent = total == null ? "" : `${short(total)} ${word}`;
    body.replaceChildren(table(columns, rows, none));
  };
  const restart = () => { after = null; show().catch((error) => toast(error.message, true)); };
  let typing;
  search.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(restart, 200); });
  first.addEventListener("click", restart);
  next.addEventListener("click", () => { after = following; show().catch((error) => toast(error.message, true)); });
  poll(signal, show);
  const element = h("section.card", h("div.tools", h("label.grow", "Search", search), tools, first, next, count), body);
  return { element, restart };
}

const query = (path, parameters) => {
  const text = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value)).toString();
  return text ? `${path}?${text}` : path;
};

// --- sessions ------------------------------------------------------------------------------------------------------------

function sessions(view, signal, wanted) {
  const choice = h("select", { "aria-label": "Connector" }, ["", "bayeux", "mqtt", "pusher", "sse", "mercure"].map((name) => h("option", { value: name, selected: name === wanted }, name || "all")));
  const detail = h("div");
  const disconnect = async (one) => {
    if (!confirmed(`Disconnect ${one.client_id}?`)) return;
    if (await act(`${one.client_id} is disconnected`, `/api/sessions/${one.id}`, "DELETE")) { detail.replaceChildren(); list.restart(); }
  };
  const inspect = async (one) => {
    try {
      const now = await api(`/api/sessions/${one.id}`);
      const pair = (name, content) => [h("dt", name), h("dd", content)];
      detail.replaceChildren(h("section.card", { id: "inspected" }, h("h2", `Session ${now.id}`),
        h("dl", [pair("client id", now.client_id), pair("connector", now.connector), pair("user", now.user ?? "–"), pair("since", moment(now.opened)),
          pair("subscriptions", now.subscriptions.length ? now.subscriptions.map((filter) => h("div", h("a", { href: `#channels/${encodeURIComponent(filter)}` }, filter))) : "none")].flat()),
        h("div.actions", h("button.danger", { type: "button", onclick: () => disconnect(now) }, "Disconnect"), h("button", { type: "button", onclick: () => detail.replaceChildren() }, "Close"))));
      detail.scrollIntoView({ block: "nearest" });
    } catch (error) { toast(error.message, true); }
  };
  const list = paged(signal, {
    word: "sessions in all", none: "No session fits.", tools: [field("Connector", choice)],
    load: async ({ q, after }) => {
      const page = await api(query("/api/sessions", { q, after, connector: choice.value }));
      return { rows: page.sessions, next: page.next, total: page.total };
    },
    columns: [
      { title: "Client", name: true, of: (one) => h("button.link", { type: "button", onclick: () => inspect(one) }, one.client_id || "(no name)") },
      { title: "Connector", of: (one) => one.connector },
      { title: "User", of: (one) => one.user ?? h("span.dim", "–") },
      { title: "Since", of: (one) => span((Date.now() - one.opened) / 1000) },
      { title: "Subscriptions", num: true, of: (one) => one.subscriptions.length },
      { title: "", of: (one) => h("button.danger", { type: "button", "aria-label": `Disconnect ${one.client_id}`, onclick: () => disconnect(one) }, "Disconnect") },
    ],
  });
  choice.addEventListener("change", list.restart);
  view.append(h("h1", "Sessions"), detail, list.element);
}

// --- channels ------------------------------------------------------------------------------------------------------------

const messages = (list) => table([
  { title: "Time", of: (one) => clock(one.time) },
  { title: "Channel", name: true, of: (one) => one.channel },
  { title: "Payload", name: true, of: (one) => h("code", value(one), one.truncated && h("small", " … cut")) },
  { title: "From", of: (one) => [one.origin.upstream ?? one.origin.connector, one.event && h("div.dim", one.event)] },
  { title: "Bytes", num: true, of: (one) => short(one.bytes) },
], list, "Nothing.");

function channels(view, signal, wanted) {
  view.append(h("h1", "Channels"));
  if (wanted) return channel(view, signal, wanted);
  const name = h("input", { type: "text", placeholder: "sensors/kitchen/temp or sensors/#", required: true });
  const look = h("form.tools", h("label.grow", "Look at any channel or filter", name), h("button.primary", "Look"));
  look.addEventListener("submit", (event) => { event.preventDefault(); location.hash = `channels/${encodeURIComponent(name.value)}`; });
  const link = (name) => h("a", { href: `#channels/${encodeURIComponent(name)}` }, name);
  const live = paged(signal, {
    word: "with subscribers", none: "Nobody is subscribed.",
    load: async ({ q, after }) => { const page = await api(query("/api/channels", { q, after })); return { rows: page.channels, next: page.next, total: page.total }; },
    columns: [{ title: "Channel or filter", name: true, of: (one) => link(one.filter) }, { title: "Subscribers", num: true, of: (one) => short(one.subscribers) }],
  });
  const kept = paged(signal, {
    word: "last values", none: "No last value is kept.",
    load: async ({ q, after }) => { const page = await api(query("/api/retained", { q, after })); return { rows: page.messages, next: page.next, total: page.total }; },
    columns: [{ title: "Channel", name: true, of: (one) => link(one.channel) }, { title: "Last value", name: true, of: (one) => h("code", value(one)) }, { title: "Time", of: (one) => moment(one.time) }],
  });
  view.append(h("section.card", look), h("h2", "Subscribed to"), live.element, h("h2", "Last values"), kept.element);
}

function channel(view, signal, name) {
  const body = h("div");
  view.append(h("p", h("a", { href: "#channels" }, "All channels")), h("section.card", h("h2.mono", name), body));
  poll(signal, async () => {
    const now = await api(query("/api/channel", { name, history: 50 }));
    if (signal.aborted) return;
    const pair = (key, content) => [h("dt", key), h("dd", content)];
    const rule = now.rule;
    body.replaceChildren(
      h("dl", [pair("subscribers to exactly this", now.subscribers), pair("rule", `${rule.match}: ${rule.history.messages} messages, ${span(rule.history.age_seconds)}, ${bytes(rule.history.bytes)}; last value ${rule.last_value}${rule.presence ? "; presence" : ""}`),
        pair("sessions", now.sessions.length ? now.sessions.map((one) => h("span", h("a", { href: `#sessions/${one.connector}` }, one.client_id), " ")) : "none")].flat()),
      now.presence.length ? [h("h2", `Present (${now.presence.length})`), table([
        { title: "User", of: (one) => one.user }, { title: "By", of: (one) => one.connectors.join(", ") }, { title: "Since", of: (one) => moment(one.since) },
      ], now.presence, "")] : "",
      h("h2", "Last values"), messages(now.last_values),
      h("h2", `History, newest first (${now.history.kept} kept)`), messages(now.history.messages));
  });
}

// --- upstreams -----------------------------------------------------------------------------------------------------------

function upstreams(view, signal) {
  const body = h("div");
  const order = (name, what, done) => act(done, `/api/upstreams/${encodeURIComponent(name)}/${what}`).then(show);
  const remove = async (name) => { if (confirmed(`Remove ${name}? It is not taken out of the file.`)) { await act(`${name} is removed`, `/api/upstreams/${encodeURIComponent(name)}`, "DELETE"); show(); } };
  const card = (one) => {
    const running = ["up", "connecting", "down"].includes(one.state);
    const pair = (key, content) => [h("dt", key), h("dd", content)];
    const rules = (list) => list.length ? list.map((rule) => h("div.mono", rule.from === rule.to ? rule.from : `${rule.from} → ${rule.to}`)) : "none";
    return h("section.card", { "data-upstream": one.name },
      h("h2", one.name, " ", pill(one.state), one.permanent && h("span.dim", " will not retry")),
      one.reason && one.state !== "up" && h("p", one.reason),
      h("dl", [pair("server", h("span.mono", one.url)), pair("kind", `${one.kind}, ${one.mode.replace("_", " ")}, from the ${one.source}`), pair("since", moment(one.since_ms)),
        pair("round trip", one.round_trip_ms == null ? "–" : span(one.round_trip_ms / 1000)), pair("connections so far", one.connections), pair("subscriptions", `${one.subscriptions} live`),
        pair("queue", `${short(one.queue.messages)} messages, ${bytes(one.queue.bytes)}${one.queue.messages ? `, oldest ${span(one.queue.oldest_seconds)}` : ""}`),
        pair("in", rules(one.in)), pair("out", rules(one.out))].flat()),
      one.facts && h("details", h("summary", "What the server told"), h("pre", JSON.stringify(one.facts, null, 1))),
      h("div.actions",
        running ? h("button", { type: "button", onclick: () => order(one.name, "pause", `${one.name} pauses`) }, "Pause") : h("button.primary", { type: "button", onclick: () => order(one.name, "resume", `${one.name} resumes`) }, "Resume"),
        running && h("button", { type: "button", onclick: () => order(one.name, "drain", `${one.name} drains`) }, "Drain"),
        h("button.danger", { type: "button", onclick: () => remove(one.name) }, "Remove")));
  };
  let last = "";
  const show = async () => {
    const { upstreams: list } = await api("/api/upstreams");
    const text = JSON.stringify(list);
    // Redrawn only when something changed and nobody is on a button of it.
    if (signal.aborted || text === last || (last && body.contains(document.activeElement) && text.replace(/"(since_ms|oldest_seconds|round_trip_ms)":[^,}]*/g, "") === last.replace(/"(since_ms|oldest_seconds|round_trip_ms)":[^,}]*/g, ""))) return;
    last = text;
    body.replaceChildren(...(list.length ? [h("div.grid", list.map(card))] : [h("p.empty", "No upstream is configured.")]));
  };
  const entry = h("textarea", { rows: 6, spellcheck: "false", class: "mono" });
  entry.value = JSON.stringify({ name: "factory", kind: "mqtt", url: "mqtt://127.0.0.1:1884", in: [{ from: "sensors/#", to: "factory/#" }] }, null, 1);
  const add = async () => {
    let section;
    try { section = JSON.parse(entry.value); } catch (error) { return toast(error.message, true); }
    if (await act(`${section.name} is added`, "/api/upstreams", "POST", section)) show();
  };
  view.append(h("h1", "Upstreams"), body, h("details.card", h("summary", "Add an upstream"),
    h("p.dim", "The keys of an [[upstreams]] entry, as JSON. It runs until it is removed or the gateway ends; the file is not changed."), field("Entry", entry), h("p"), h("button.primary", { type: "button", onclick: add }, "Add")));
  poll(signal, show, 2000);
}

// --- rules, configuration ------------------------------------------------------------------------------------------------

function rules(view, signal) {
  const body = h("div");
  view.append(h("h1", "Rules"), body);
  poll(signal, async () => {
    const now = await api("/api/rules");
    if (signal.aborted) return;
    const bridges = now.bridges.flatMap((bridge) => ["in", "out"].flatMap((direction) => bridge[direction].map((rule) => ({ ...rule, direction, upstream: bridge.upstream }))));
    body.replaceChildren(
      h("section.card", h("h2", "Channels: the first match decides"), table([
        { title: "Match", name: true, of: (one) => h("code", one.match) },
        { title: "History", of: (one) => one.history.messages ? `${short(one.history.messages)} messages, ${span(one.history.age_seconds)}, ${bytes(one.history.bytes)}` : "none" },
        { title: "Last value", of: (one) => one.last_value }, { title: "Presence", of: (one) => (one.presence ? "yes" : "no") }, { title: "Slow", of: (one) => one.slow ?? "protocol's own" },
      ], now.channels, "No rule.")),
      h("section.card", h("h2", "Bridges"), table([
        { title: "Upstream", of: (one) => one.upstream }, { title: "", of: (one) => (one.direction === "in" ? "theirs → ours" : "ours → theirs") },
        { title: "From", name: true, of: (one) => h("code", one.from) }, { title: "To", name: true, of: (one) => h("code", one.to) },
        { title: "QoS at most", num: true, of: (one) => one.qos }, { title: "Retain", of: (one) => (one.retain ? "kept" : "cleared") },
      ], bridges, "Nothing is bridged.")));
  }, 10000);
}

function configuration(view, signal) {
  const body = h("pre");
  view.append(h("h1", "Configuration in force"), h("section.card", h("p.dim", "Secrets are masked. The same as ratatosk config."), body));
  poll(signal, async () => { const text = JSON.stringify(await api("/api/config"), null, 2); if (body.textContent !== text) body.textContent = text; }, 10000);
}

// --- monitor -------------------------------------------------------------------------------------------------------------

const SHOWN_EVENTS = 500;

function monitor(view, signal) {
  const log = h("div.log", { role: "log", tabindex: "0", "aria-label": "Monitor events" });
  const search = h("input", { type: "search", placeholder: "upstream_status, a client id ...", "aria-label": "Only events with" });
  const pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");
  const clear = h("button", { type: "button", onclick: () => log.replaceChildren() }, "Clear");
  const state = h("span.pill", "connecting");
  let paused = false;
  pause.addEventListener("click", () => { paused = !paused; pause.setAttribute("aria-pressed", paused); pause.textContent = paused ? "Go on" : "Pause"; });
  const fits = (line) => !search.value || line.textContent.includes(search.value);
  search.addEventListener("input", () => { for (const line of log.children) line.hidden = !fits(line); });
  view.append(h("h1", "Monitor"), h("section.card", h("div.tools", h("label.grow", "Only events with", search), pause, clear, state), log));
  const add = ({ event, time, ...fields }) => {
    if (paused) return;
    const line = h("div", h("time", clock(time)), " ", h("b", event), " ", Object.entries(fields).filter(([, value]) => value !== null && value !== "").map(([key, value]) => `${key}=${value}`).join("  "));
    line.hidden = !fits(line);
    log.prepend(line);
    while (log.children.length > SHOWN_EVENTS) log.lastChild.remove();
  };
  const connect = async () => {
    while (!signal.aborted) {
      try {
        await follow("/api/monitor", signal, () => { state.className = "pill good"; state.textContent = "live"; }, add);
      } catch { /* said below, and tried again */ }
      if (signal.aborted) return;
      state.className = "pill bad"; state.textContent = "cut";
      await new Promise((resolve) => setTimeout(resolve, 1500));
    }
  };
  connect();
}

export const pages = [
  { id: "connectors", title: "Connectors", show: connectors },
  { id: "sessions", title: "Sessions", show: sessions },
  { id: "channels", title: "Channels", show: channels },
  { id: "upstreams", title: "Upstreams", show: upstreams },
  { id: "rules", title: "Rules", show: rules },
  { id: "try", title: "Try it", show: tryPage },
  { id: "monitor", title: "Monitor", show: monitor },
  { id: "config", title: "Configuration", show: configuration },
];
