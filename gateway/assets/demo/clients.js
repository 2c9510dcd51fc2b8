// The four stock clients. Each is { id, name, version, how, connect(hear, state), publish(text) }: `hear(channel, native, data)` is
// called for each message, with its canonical channel, its name in the client's own protocol, and its parsed data.
import { CometD } from '/demo/vendor/cometd-9.0.0/cometd.js'

const { mqtt, Pusher } = window
const socket = location.protocol === 'https:' ? 'wss' : 'ws'
const bytes = new TextDecoder()

function parse (text) {
  try { return JSON.parse(text) } catch { return text }
}

export function makeClients (settings) {
  const { root } = settings
  const said = `${root}/hello`
  const all = [eventSource(settings, said), pusher(settings, said), cometd(settings, said), mqttJs(settings, said)]
  return all.filter(client => client.id !== 'pusher' || settings.pusher)
}

function eventSource ({ root, sse, fleet }, said) {
  // An id is EPOCH.SEQ; the demo lives in one epoch.
  const place = id => Number(id.split('.')[1])
  const monitor = '$monitor/received_message/+'
  return {
    id: 'eventsource', name: 'EventSource', version: 'built in', protocol: 'SSE',
    how: `new EventSource("${sse}?channel=${root}/%23")`,
    // The same stream also brings what the gateway tells of each message's sender.
    connect (hear, state, tell) {
      const source = new EventSource(`${sse}?` + new URLSearchParams([['channel', `${root}/#`], ['channel', monitor]]))
      source.onopen = () => state('live')
      source.onerror = () => state('down')
      source.onmessage = event => {
        const message = JSON.parse(event.data)
        // The envelope's own id, because a frame's `id` says where to resume from.
        const seq = place(message.id)
        if (!message.channel.startsWith('$monitor/')) return hear(message.channel, message.channel, message.data, seq)
        tell(place(message.data.message_id), message.channel.split('/')[2], message.data.client_id)
      }
    },
    async publish (message) {
      const url = '/publish?' + new URLSearchParams([['channel', said]])
      const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(message) })
      if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).title ?? `status ${answer.status}`)
    }
  }
}

function pusher ({ root, sensors, pusher }, said) {
  const mounted = channel => pusher.root + channel.slice(root.length).replaceAll('/', '.')
  let joined
  return {
    id: 'pusher', name: 'pusher-js', version: '8.6.0', protocol: 'Pusher',
    how: `pusher.subscribe("${pusher?.root}.kitchen.temperature")`,
    connect (hear, state) {
      const port = Number(location.port) || (socket === 'wss' ? 443 : 80)
      const client = new Pusher(pusher.key, {
        cluster: '', wsHost: location.hostname, wsPort: port, wssPort: port, wsPath: pusher.prefix,
        forceTLS: socket === 'wss', enabledTransports: ['ws', 'wss'], enableStats: false,
        channelAuthorization: { endpoint: '/demo/pusher-auth', transport: 'ajax' }
      })
      client.connection.bind('connected', () => state('live'))
      client.connection.bind('disconnected', () => state('down'))
      client.connection.bind('unavailable', () => state('down'))
      for (const channel of [said, ...sensors.map(name => `${root}/${name}`)]) {
        const native = mounted(channel), channelOf = client.subscribe(native)
        if (channel === said) joined = channelOf
        channelOf.bind_global((event, data) => event.startsWith('pusher:') || hear(channel, native, data))
      }
      // Pusher does not send a client's own events back to it: this client says itself what it sent.
      this.echo = message => hear(said, mounted(said), message)
    },
    async publish (message) {
      if (!joined.trigger('client-hello', message)) throw new Error('not connected')
      this.echo(message)
    }
  }
}

function cometd ({ root, bayeux }, said) {
  const client = new CometD()
  return {
    id: 'cometd', name: 'cometd', version: '9.0.0', protocol: 'Bayeux',
    how: `cometd.subscribe("/${root}/**", …)`,
    connect (hear, state) {
      client.configure({ url: location.origin + bayeux, logLevel: 'error' })
      client.addListener('/meta/handshake', reply => {
        if (!reply.successful) return
        client.batch(() => client.subscribe(`/${root}/**`, message => hear(message.channel.slice(1), message.channel, message.data)))
      })
      client.addListener('/meta/connect', reply => state(reply.successful ? 'live' : 'down'))
      client.handshake()
    },
    publish (message) {
      return new Promise((resolve, reject) => client.publish(`/${said}`, message, reply =>
        reply.successful ? resolve() : reject(new Error(reply.error ?? 'not connected'))))
    }
  }
}

function mqttJs ({ root }, said) {
  let client
  return {
    id: 'mqtt', name: 'MQTT.js', version: '5.16.0', protocol: 'MQTT 5',
    how: `client.subscribe("${root}/#")`,
    clientId: `page-${Math.random().toString(36).slice(2, 10)}`,
    connect (hear, state) {
      client = mqtt.connect(`${socket}://${location.host}/mqtt`, { protocolVersion: 5, clientId: this.clientId, reconnectPeriod: 1000 })
      client.on('connect', () => { state('live'); client.subscribe(`${root}/#`) })
      client.on('close', () => state('down'))
      client.on('error', () => state('down'))
      client.on('message', (topic, payload) => hear(topic, topic, parse(bytes.decode(payload))))
    },
    async publish (message) {
      if (!client.connected) throw new Error('not connected')
      await client.publishAsync(said, JSON.stringify(message), { qos: 1 })
    }
  }
}
