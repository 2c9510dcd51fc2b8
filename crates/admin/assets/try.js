// Subscribes and publishes over each protocol, with as much of a client as that takes. For real use there are real clients.
import { h, api, clock, samples, toast } from "/console.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

// --- event streams -------------------------------------------------------------------------------------------------------

function sse(base, { channel, heard, state }) {
  const source = new EventSource(`${base}/sse?channel=${encodeURIComponent(channel)}`);
  source.onopen = () => state("up");
  source.onerror = () => state(source.readyState === EventSource.CLOSED ? "down" : "connecting");
  source.onmessage = (event) => { const message = JSON.parse(event.data); heard(message.channel, message.encoding ? `base64: ${message.data}` : message.data); };
  return {
    publish: async (name, text) => {
      const answer = await fetch(`${base}/publish?channel=${encodeURIComponent(name)}`, { method: "POST", body: text });
      if (!answer.ok) throw new Error((await answer.json()).detail ?? answer.statusText);
    },
    end: () => source.close(),
  };
}

// --- Bayeux over WebSocket -----------------------------------------------------------------------------------------------

/** CONTRACT 4, for names of letters, digits and - _ ! ( ) $ @ . ; filters end in * or **. */
const toBayeux = (name) => `/${name.split("/").map((level) => (level === "+" ? "*" : level === "#" ? "**" : level === "" ? "~-" : level)).join("/")}`;

function bayeux(base, { channel, heard, state }) {
  const socket = new WebSocket(`${base.replace(/^http/, "ws")}/bayeux`);
  let [id, client] = [0, null];
  const send = (message) => socket.send(JSON.stringify([{ id: String(++id), clientId: client ?? undefined, ...message }]));
  const connect = () => send({ channel: "/meta/connect", connectionType: "websocket" });
  socket.onopen = () => send({ channel: "/meta/handshake", version: "1.0", supportedConnectionTypes: ["websocket"] });
  socket.onclose = () => state("down");
  socket.onmessage = (event) => JSON.parse(event.data).forEach((message) => {
    if (message.channel === "/meta/handshake") {
      if (!message.successful) { state("refused"); return toast(message.error ?? "refused", true); }
      client = message.clientId;
      send({ channel: "/meta/subscribe", subscription: toBayeux(channel) });
      connect();
    } else if (message.channel === "/meta/connect") { if (message.successful) connect(); }
    else if (message.channel === "/meta/subscribe") state(message.successful ? "up" : "refused");
    else if (message.data !== undefined) heard(message.channel, message.data);
    else if (message.successful === false) toast(message.error ?? "refused", true);
  });
  const json = (text) => { try { return JSON.parse(text); } catch { return text; } };
  return { publish: async (name, text) => send({ channel: toBayeux(name), data: json(text) }), end: () => socket.close() };
}

// --- Pusher --------------------------------------------------------------------------------------------------------------

const toPusher = (name) => name.replaceAll("/", ".");

async function signature(secret, text) {
  const key = await crypto.subtle.importKey("raw", encoder.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return [...new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(text)))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function pusher(base, { channel, heard, state, key, secret }) {
  const socket = new WebSocket(`${base.replace(/^http/, "ws")}/app/${encodeURIComponent(key)}?protocol=7&client=console&version=1`);
  const name = toPusher(channel);
  const send = (event, data, more = {}) => socket.send(JSON.stringify({ event, data, ...more }));
  socket.onclose = () => state("down");
  socket.onmessage = async (frame) => {
    const { event, data, channel: on } = JSON.parse(frame.data);
    if (event === "pusher:connection_established") {
      const id = JSON.parse(data).socket_id;
      const needed = /^(private|presence)-/.test(name);
      send("pusher:subscribe", { channel: name, ...(needed && { auth: `${key}:${await signature(secret, `${id}:${name}`)}` }) });
    } else if (event === "pusher_internal:subscription_succeeded") state("up");
    else if (event === "pusher:ping") send("pusher:pong", {});
    else if (event === "pusher:error" || event === "pusher:subscription_error") { state("refused"); toast(JSON.stringify(data), true); }
    else if (on) heard(`${on} (${event})`, data);
  };
  return {
    publish: async (where, text) => {
      const to = toPusher(where);
      if (to !== name || !to.startsWith("private-")) throw new Error("Pusher clients publish on a private- channel that they are subscribed to");
      send("client-console", text, { channel: to });
      heard(`${to} (own)`, text);
    },
    end: () => socket.close(),
  };
}

// --- MQTT 3.1.1 over WebSocket -------------------------------------------------------------------------------------------

const word = (number) => [number >> 8, number & 255];
const string = (text) => { const bytes = encoder.encode(text); return [...word(bytes.length), ...bytes]; };
function packet(first, body) {
  const length = [];
  for (let left = body.length; ;) {
    const digit = left % 128;
    left = Math.floor(left / 128);
    length.push(left ? digit | 128 : digit);
    if (!left) break;
  }
  return new Uint8Array([first, ...length, ...body]);
}

function mqtt(base, { channel, heard, state }) {
  const socket = new WebSocket(`${base.replace(/^http/, "ws")}/mqtt`, "mqtt");
  socket.binaryType = "arraybuffer";
  let rest = new Uint8Array();
  const ping = setInterval(() => socket.readyState === 1 && socket.send(packet(0xc0, [])), 20000);
  socket.onopen = () => socket.send(packet(0x10, [...string("MQTT"), 4, 2, 0, 60, ...string("")]));
  socket.onclose = () => { clearInterval(ping); state("down"); };
  const take = (kind, body) => {
    if (kind === 2) {
      if (body[1]) { state("refused"); return toast(`CONNACK ${body[1]}`, true); }
      socket.send(packet(0x82, [0, 1, ...string(channel), 0]));
    } else if (kind === 9) state(body[2] < 0x80 ? "up" : "refused");
    else if (kind === 3) {
      const length = body[0] * 256 + body[1];
      heard(decoder.decode(body.slice(2, 2 + length)), decoder.decode(body.slice(2 + length)));
    }
  };
  socket.onmessage = (event) => {
    const bytes = new Uint8Array(rest.length + event.data.byteLength);
    bytes.set(rest); bytes.set(new Uint8Array(event.data), rest.length);
    let at = 0;
    for (;;) {
      let [length, shift, head] = [0, 0, at + 1];
      while (head < bytes.length) { const digit = bytes[head++]; length += (digit & 127) * 2 ** shift; shift += 7; if (digit < 128) { shift = -1; break; } }
      if (shift !== -1 || head + length > bytes.length) break;
      take(bytes[at] >> 4, bytes.slice(head, head + length));
      at = head + length;
    }
    rest = bytes.slice(at);
  };
  return { publish: async (name, text) => socket.send(packet(0x30, [...string(name), ...encoder.encode(text)])), end: () => socket.close() };
}

// --- the page ------------------------------------------------------------------------------------------------------------

const protocols = [
  { id: "sse", title: "EventSource and POST", open: sse },
  { id: "mqtt", title: "MQTT over WebSocket", open: mqtt },
  { id: "bayeux", title: "Bayeux over WebSocket", open: bayeux },
  { id: "pusher", title: "Pusher", open: pusher },
];

function pane(protocol, common, signal) {
  const state = h("span.pill", "off");
  const log = h("div.log", { role: "log", tabindex: "0", "aria-label": `Messages by ${protocol.title}` });
  log.style.height = "170px";
  const button = h("button.primary", { type: "button" }, "Subscribe");
  const say = h("button", { type: "button", disabled: true }, "Publish");
  let client = null;
  const set = (now) => {
    state.className = `pill ${{ up: "good", connecting: "warn", down: "bad", refused: "bad" }[now] ?? ""}`;
    state.textContent = now;
    say.disabled = now !== "up";
  };
  const heard = (channel, data) => {
    log.prepend(h("div", h("time", clock(Date.now())), " ", h("b", channel), " ", typeof data === "string" ? data : JSON.stringify(data)));
    while (log.children.length > 100) log.lastChild.remove();
  };
  const stop = () => { client?.end(); client = null; button.textContent = "Subscribe"; set("off"); };
  button.addEventListener("click", () => {
    if (client) return stop();
    const options = common();
    const own = {};
    set("connecting");
    try { client = own.client = protocol.open(options.base, { ...options, heard, state: (now) => client === own.client && client && set(now) }); button.textContent = "Stop"; }
    catch (error) { toast(error.message, true); set("off"); }
  });
  say.addEventListener("click", () => { const { channel: _, to, text } = common(); client?.publish(to, text).catch((error) => toast(error.message, true)); });
  signal.addEventListener("abort", stop);
  return h("section.card", { "data-protocol": protocol.id }, h("h2", protocol.title, " ", state), h("div.actions", button, say), h("p"), log);
}

export function tryPage(view, signal) {
  const input = (value, more = {}) => { const box = h("input", { type: "text", spellcheck: "false", ...more }); box.value = value; return box; };
  const fields = {
    base: input(""), channel: input("demo/#"), to: input("demo/hello"), text: input('{"hello":"world"}'), key: input("demo-key"), secret: input("", { type: "password", autocomplete: "off" }),
  };
  const address = async () => {
    const { listeners } = samples[samples.length - 1] ?? await api("/api/overview");
    const bound = listeners.http ?? listeners.https;
    if (!bound) return;
    const scheme = listeners.http ? "http" : "https";
    const port = bound.slice(bound.lastIndexOf(":") + 1);
    if (!fields.base.value) fields.base.value = `${scheme}://${location.hostname}:${port}`;
  };
  address().catch((error) => toast(error.message, true));
  const common = () => Object.fromEntries(Object.entries(fields).map(([name, box]) => [name, box.value]));
  const byApi = async () => {
    const { to, text } = common();
    try { const receipt = await api("/api/publish", "POST", { channel: to, text }); toast(receipt.matched ? "somebody heard it" : "nobody is subscribed"); }
    catch (error) { toast(error.message, true); }
  };
  const label = (text, box) => h("label", text, box);
  view.append(h("h1", "Try it"),
    h("section.card", h("div.fields", label("Gateway", fields.base), label("Subscribe to", fields.channel), label("Publish on", fields.to), label("Payload", fields.text),
      label("Pusher key", fields.key), label("Pusher secret, for private- channels", fields.secret)),
      h("p"), h("div.actions", h("button", { type: "button", onclick: byApi }, "Publish by the admin API")),
      h("p.dim", "These connect to the gateway's own listeners as any page would: its [http] cors_origins and [auth] hold. Pusher has no wildcards; give it a channel such as private-demo.")),
    h("div.grid", protocols.map((protocol) => pane(protocol, common, signal))));
}
