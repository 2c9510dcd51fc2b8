// MQTT.js, in MQTT 5 and 3.1.1.
import mqtt from 'mqtt'
import { b64, emit, unb64 } from '../io.mjs'
import { bytes, toBytes } from './body.mjs'

const connect = async (url, protocolVersion = 5) => {
  const client = mqtt.connect(url, { protocolVersion, reconnectPeriod: 0, clean: true })
  client.on('error', error => emit('error', { message: `MQTT.js: ${error.message}` }))
  await new Promise(resolve => client.once('connect', resolve))
  return client
}

const said = ({ properties: p = {}, retain }) => {
  const pairs = Object.entries(p.userProperties ?? {}).flatMap(([name, value]) => [value].flat().map(value => [name, value]))
  return {
    event: pairs.find(([name]) => name === 'event')?.[1],
    properties: pairs.filter(([name]) => name !== 'event'),
    content_type: p.contentType,
    reply_to: p.responseTopic,
    correlation: p.correlationData && b64(p.correlationData),
    expiry: p.messageExpiryInterval,
    retained: retain
  }
}

const listen = async (client, filter, heard) => {
  client.on('message', (channel, payload, packet) => emit(heard, { channel, ...bytes(payload), said: said(packet) }))
  await client.subscribeAsync(filter, { qos: 1 })
}

export async function open ({ near, source, sink }) {
  const [five, three, far, ...publishers] = await Promise.all([
    connect(near.mqtt), connect(near.mqtt, 4), connect(sink.mqtt), connect(near.mqtt), connect(source.mqtt)
  ])
  await Promise.all([listen(five, '#', 'near'), listen(three, '#', 'near3'), listen(far, 'o-mqtt/#', 'sink')])
  const by = { near: publishers[0], source: publishers[1] }
  return {
    async publish (at, name, payload, { event, properties = [], content_type: contentType, reply_to: responseTopic, correlation, expiry, retain = false }) {
      const userProperties = {}
      for (const [name, value] of [...(event === undefined ? [] : [['event', event]]), ...properties]) (userProperties[name] ??= []).push(value)
      const all = { contentType, responseTopic, correlationData: correlation && unb64(correlation), messageExpiryInterval: expiry, userProperties }
      // MQTT.js sends nothing at all where a list of user properties is empty.
      const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && (value !== userProperties || Object.keys(value).length > 0)))
      await by[at].publishAsync(name, toBytes(payload), { qos: 1, retain, properties: given })
    },
    async fresh (at, name) {
      const client = await connect((at === 'sink' ? sink : near).mqtt, at === 'near3' ? 4 : 5)
      await listen(client, name, 'fresh')
    }
  }
}
