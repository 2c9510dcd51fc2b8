// pusher-js to listen, the official server SDK to publish.
import Pusher from 'pusher-js'
import { emit } from '../io.mjs'
import { application } from '../pusher-app.mjs'
import { toValue, value } from './body.mjs'

const credentials = { key: 'demo-key', secret: 'demo-secret', userId: 'matrix' }

const listen = async ({ http }, names, heard) => {
  const { hostname: host, port } = new URL(http)
  const { authorize } = application({ ...credentials, host, port })
  const pusher = new Pusher(credentials.key, {
    cluster: '', wsHost: host, wsPort: port, forceTLS: false, enabledTransports: ['ws'], disableStats: true,
    channelAuthorization: { customHandler: ({ socketId, channelName }, callback) => callback(null, authorize(socketId, channelName)) }
  })
  await Promise.all(names.map(name => new Promise(resolve => {
    const channel = pusher.subscribe(name)
    channel.bind_global((event, data) => {
      if (event === 'pusher:subscription_succeeded') resolve()
      else if (event === 'pusher:subscription_error') emit('error', { message: `${name}: ${JSON.stringify(data)}` })
      else if (!event.startsWith('pusher:')) emit(heard, { channel: name, ...value(data), said: { event: event === 'message' ? undefined : event } })
    })
  })))
}

export async function open ({ near, source, sink, names }) {
  await Promise.all([listen(near, names.near, 'near'), listen(sink, names.sink, 'sink')])
  const sdk = ({ http }) => application({ ...credentials, host: new URL(http).hostname, port: new URL(http).port }).server
  const by = { near: sdk(near), source: sdk(source) }
  return {
    async publish (at, name, payload, { event }) {
      try {
        const answer = await by[at].trigger(name, event ?? 'message', toValue(payload))
        await answer.text()
      } catch (error) {
        throw error.status ? new Error(`${error.status}`) : error
      }
    },
    fresh: (at, name) => listen({ near, sink }[at], [name], 'fresh')
  }
}
