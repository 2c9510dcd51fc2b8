// Code of the documentation, run as it stands: { snippets: [{ name, code }] }. In scope are the stock clients by the names that the pages use,
// and a `console` that reports `logged`. A snippet that is an expression has its value listened to. Reports `evaluated` for each.
import { adapt } from 'cometd-nodejs-client'
import { CometD } from 'cometd'
import { EventSource } from 'eventsource'
import Faye from 'faye'
import mqtt from 'mqtt'
import PusherServer from 'pusher'
import Pusher from 'pusher-js'
import { args, commands, emit } from './lib/io.mjs'

// It makes Node look like a browser, which Faye's client would take it for.
const withCometD = args.snippets.some(({ code }) => code.includes('cometd'))
if (withCometD) adapt()

/** The function that a snippet is: of an expression, one that returns its value. */
function compile (names, code) {
  try {
    return new Function(...names, `return (${code})`)
  } catch {
    return new Function(...names, `{${code}}`)
  }
}

for (const { name, code } of args.snippets) {
  const log = (...parts) => emit('logged', { name, text: parts.map(part => typeof part === 'string' ? part : JSON.stringify(part)).join(' ') })
  class Server extends PusherServer {
    async trigger (...what) {
      const response = await super.trigger(...what)
      if (response.status === 200) log('triggered')
    }
  }
  const scope = { EventSource, Faye, mqtt, Pusher, PusherServer: Server, CometD, cometd: withCometD ? new CometD() : undefined, console: { log } }
  const value = compile(Object.keys(scope), code)(...Object.values(scope))
  if (value instanceof EventSource) value.onmessage = event => log(event.data)
  if (value instanceof mqtt.MqttClient) value.on('message', (topic, payload) => log(topic, payload.toString()))
  emit('evaluated', { name })
}
await commands(() => {})
process.exit(0)
