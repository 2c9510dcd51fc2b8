// The demo: connects the four clients, matches what they receive with what the gateway says of its sender, and draws it.
import { makeClients } from './clients.js'
import { Flow } from './flow.js'
import { Pane, el, mark } from './panes.js'

const REMEMBERED = 400
const settings = await (await fetch('/demo/settings.json')).json()
const clients = makeClients(settings)
const senders = [
  { id: 'fleet', name: 'Sensor fleet', note: 'MQTT' },
  ...clients.map(({ id, name }) => ({ id, name, note: id === 'eventsource' ? 'page, by POST' : 'page' })),
  { id: 'other', name: 'Your terminal' }
]
const flow = new Flow(senders, clients.map(({ id, name, protocol }) => ({ id, name, note: protocol })))
const own = new Map(senders.map(sender => [sender.id, sender]))

/** What is known of each message: its sender, its rows, who has received it. Clients other than EventSource see no position,
 *  so a message is known by channel and data; the stream's `id` ties these to the gateway's word on the sender. */
const known = new Map(), bySeq = new Map()
let second = 0

function about (key) {
  let message = known.get(key)
  // The same text again is another message, once everybody has had the first.
  if (message && message.got.size === clients.length) message = undefined
  if (!message) {
    message = { rows: [], got: new Map(), who: undefined, atHub: 0 }
    known.delete(key)
    known.set(key, message)
    if (known.size > REMEMBERED) known.delete(known.keys().next().value)
  }
  return message
}

function hear (pane, channel, native, data, seq) {
  const key = channel + '\n' + JSON.stringify(data)
  let message = about(key)
  if (message.got.has(pane.client.id)) {
    known.delete(key)
    message = about(key)
  }
  message.got.set(pane.client.id, performance.now())
  message.rows.push(pane.show(native, data, message.who))
  if (pane.client.id === 'eventsource') {
    second++
    if (seq !== undefined) tie(seq, message)
  }
  if (message.who) flow.received(pane.client.id, message.who.id, message.atHub)
  if (message.onall && message.got.size === clients.length) message.onall()
}

/** EventSource has the position, and the gateway's monitor names the sender by it: whichever comes first waits. */
function tie (seq, message) {
  const who = bySeq.get(seq)
  bySeq.delete(seq)
  if (who?.id) return name(message, who)
  bySeq.set(seq, message)
  forget()
  // A retained reading from before this page was opened: the gateway told its sender then.
  setTimeout(() => { if (bySeq.get(seq) === message) bySeq.delete(seq) }, 5000)
}

function tell (seq, connector, clientId) {
  const who = sender(connector, clientId), message = bySeq.get(seq)
  bySeq.delete(seq)
  if (message?.rows) return name(message, who)
  bySeq.set(seq, who)
  forget()
}

function forget () {
  if (bySeq.size > REMEMBERED) bySeq.delete(bySeq.keys().next().value)
}

function sender (connector, clientId) {
  if (clientId === settings.fleet) return own.get('fleet')
  if (connector === 'mqtt') return own.get(clientId === clients.find(client => client.id === 'mqtt').clientId ? 'mqtt' : 'other')
  return { ...own.get('other'), id: 'other', connector }
}

function name (message, who) {
  if (message.who) return
  // What this page published is signed with the client that did; the gateway's word on the connector is what it is checked with.
  message.who = who
  message.atHub = flow.sent(who.id)
  for (const row of message.rows) mark(row, who)
  for (const client of message.got.keys()) flow.received(client, who.id, message.atHub)
}

async function publish (pane, text) {
  const { client } = pane, began = performance.now()
  if (pane.element.dataset.state !== 'live') return pane.say('not sent: not connected', 'bad')
  const data = { text, n: Math.floor(Math.random() * 1e9).toString(36) }
  const message = about(`${settings.root}/hello\n` + JSON.stringify(data))
  name(message, own.get(client.id))
  message.onall = () => {
    const took = Math.max(...message.got.values()) - began
    pane.say(`reached all ${clients.length} in ${took < 10 ? took.toFixed(1) : Math.round(took)} ms`, 'done')
  }
  pane.say('sent')
  try { await client.publish(data) } catch (error) { pane.say(`not sent: ${error.message}`, 'bad') }
}

const panes = clients.map(client => new Pane(client, publish))
document.getElementById('panes').append(...panes.map(pane => pane.element))
for (const pane of panes) {
  pane.client.connect((...heard) => hear(pane, ...heard), state => pane.state(state), tell)
}
flow.measure()

const recent = []
setInterval(() => {
  recent.push(second)
  second = 0
  if (recent.length > 4) recent.shift()
  document.getElementById('rate').textContent = (recent.reduce((a, b) => a + b, 0) / recent.length).toFixed(1)
}, 1000)

if (settings.adminPort) {
  const link = document.getElementById('metrics')
  link.href = `${location.protocol}//${location.hostname}:${settings.adminPort}/`
  link.textContent = 'Console'
  link.hidden = false
}
const port = settings.mqttPort
const commands = [
  `mosquitto_pub ${port && port !== 1883 ? `-p ${port} ` : ''}-t ${settings.root}/hello -m hello`,
  `curl -d hi '${location.origin}/publish?channel=${settings.root}/hello'`,
  `ratatosk sub sse+${location.origin} '${settings.root}/#'`
]
document.getElementById('commands').append(...commands.map(command => {
  const row = el('div', 'cmd'), code = el('code', '', command), copy = el('button', '', 'Copy')
  copy.type = 'button'
  copy.onclick = async () => {
    try {
      await navigator.clipboard.writeText(command)
      copy.textContent = 'Copied'
    } catch {
      getSelection().selectAllChildren(code)
      copy.textContent = 'Selected'
    }
    setTimeout(() => { copy.textContent = 'Copy' }, 1500)
  }
  row.append(code, copy)
  return row
}))
