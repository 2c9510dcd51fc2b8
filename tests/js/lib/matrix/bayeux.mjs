// CometD's client, over WebSocket.
import * as cometd from 'cometd'
import { adapt } from 'cometd-nodejs-client'
import { emit } from '../io.mjs'
import { toValue, value } from './body.mjs'

adapt()

const connect = url => new Promise(resolve => {
  const client = new cometd.CometD()
  for (const type of client.getTransportTypes()) if (type !== 'websocket') client.unregisterTransport(type)
  client.configure({ url: `${url}/bayeux`, logLevel: 'warn', useWorkerScheduler: false, maxSendBayeuxMessageSize: 8 << 20 })
  client.handshake({}, reply => reply.successful ? resolve(client) : emit('error', { message: JSON.stringify(reply) }))
})

const listen = (client, channel, heard) => new Promise(resolve => {
  client.subscribe(channel, ({ channel, data, ext }) => {
    if (channel.startsWith('/meta/')) return // CometD's own, which its wildcard hears too
    const { expires, ...said } = ext?.ratatosk ?? {}
    emit(heard, { channel, ...value(data), said: { ...said, expiry: expires && (expires - Date.now()) / 1000 } })
  }, resolve)
})

export async function open ({ near, source, sink }) {
  const [here, far, ...publishers] = await Promise.all([near, sink, near, source].map(({ http }) => connect(http)))
  await Promise.all([listen(here, '/**', 'near'), listen(far, '/o-bayeux/**', 'sink')])
  const by = { near: publishers[0], source: publishers[1] }
  return {
    publish: (at, name, payload, said) => new Promise((resolve, reject) => {
      const ext = Object.keys(said).length > 0 ? { ext: { ratatosk: said } } : {}
      by[at].publish(name, toValue(payload), ext, reply => reply.successful ? resolve() : reject(new Error(reply.error)))
    }),
    fresh: async (at, name) => listen(await connect({ near, sink }[at].http), name, 'fresh')
  }
}
