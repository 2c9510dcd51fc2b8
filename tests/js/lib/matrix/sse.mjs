// The npm `eventsource` client, and `fetch` to publish.
import { EventSource } from 'eventsource'
import { emit } from '../io.mjs'
import { binary, text, toBytes } from './body.mjs'

const body = ({ data, encoding }) => encoding === 'base64' ? binary(Buffer.from(data, 'base64')) : typeof data === 'string' ? text(data) : { json: data }

const follow = (gateway, channel, heard, more = {}) => new Promise(resolve => {
  const stream = new EventSource(`${gateway.http}/sse?${new URLSearchParams({ channel, ...more })}`)
  stream.addEventListener('open', resolve)
  stream.addEventListener('message', ({ data, type }) => {
    if (more.format === 'raw') return emit(heard, { ...text(data), said: {} })
    const told = JSON.parse(data)
    const { event, properties, content_type, reply_to, correlation, expires, retained } = told
    emit(heard, { channel: told.channel, ...body(told), said: { event, properties, content_type, reply_to, correlation, expiry: expires && (expires - told.time) / 1000, retained } })
  })
})

export async function open ({ near, source, sink }) {
  await Promise.all([follow(near, '#', 'near'), follow(near, '#', 'raw', { format: 'raw' }), follow(sink, 'o-sse/#', 'sink')])
  return {
    async publish (at, name, payload, { properties, content_type: type, ...said }) {
      const query = new URLSearchParams({ channel: name, ...said })
      for (const [name, value] of properties ?? []) query.append(`property.${name}`, value)
      const answer = await fetch(`${{ near, source }[at].http}/publish?${query}`, { method: 'POST', body: toBytes(payload), headers: type ? { 'content-type': type } : {} })
      if (!answer.ok) throw new Error(`${answer.status} ${(await answer.json()).type}`)
      await answer.text()
    },
    fresh: (at, name) => follow(at === 'sink' ? sink : near, name, 'fresh', at === 'raw' ? { format: 'raw' } : {})
  }
}
