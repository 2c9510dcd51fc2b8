// What a test may ask of MQTT.js, in Node and in a page alike. Commands: { do: 'subscribe' | 'unsubscribe' | 'publish' | 'burst' |
// 'disconnect' | 'die', ... }; payloads travel in base64. Events: connected, subscribed, unsubscribed, published, message, disconnected.
// It stands alone (no imports), so that a page can load it.

const fromBase64 = text => Uint8Array.from(atob(text), char => char.charCodeAt(0))
const toBase64 = bytes => btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''))

function toProperties (values, bytes) {
  if (!values) return undefined
  const { userProperties, correlationData, ...rest } = values
  if (correlationData !== undefined) rest.correlationData = bytes(fromBase64(correlationData))
  if (userProperties) {
    rest.userProperties = {}
    for (const [key, value] of userProperties) (rest.userProperties[key] ??= []).push(value)
  }
  return rest
}

function fromProperties (values) {
  if (!values) return {}
  const { userProperties, correlationData, ...rest } = values
  if (correlationData !== undefined) rest.correlationData = toBase64(correlationData)
  if (userProperties) {
    rest.userProperties = Object.entries(userProperties).flatMap(([key, value]) => [value].flat().map(value => [key, value]))
  }
  return rest
}

/** Connects with the test's arguments; returns the function that obeys a command. `bytes` makes what the library wants for payloads. */
export function drive (mqtt, args, emit, bytes) {
  const will = args.will && { ...args.will, payload: args.will.payload, properties: toProperties(args.will.properties, bytes) }
  const client = mqtt.connect(args.url, {
    protocolVersion: args.version ?? 5,
    clientId: args.clientId,
    clean: args.clean ?? true,
    keepalive: args.keepalive ?? 60,
    reconnectPeriod: args.reconnect ? 100 : 0,
    username: args.username,
    password: args.password,
    properties: args.properties,
    resubscribe: args.resubscribe ?? false,
    rejectUnauthorized: false,
    will
  })
  client.on('connect', packet => emit('connected', {
    code: packet.reasonCode ?? packet.returnCode ?? 0, sessionPresent: packet.sessionPresent, properties: fromProperties(packet.properties)
  }))
  client.on('error', error => emit('failed', { code: error.code, message: error.message }))
  client.on('disconnect', packet => emit('disconnected', { code: packet.reasonCode }))
  client.on('close', () => emit('closed'))
  client.on('message', (topic, payload, packet) => emit('message', {
    topic, payload: toBase64(payload), qos: packet.qos, retain: packet.retain, dup: packet.dup, properties: fromProperties(packet.properties)
  }))
  const check = error => { if (error) emit('refused', { code: error.code, message: error.message }) }
  return async command => {
    switch (command.do) {
      case 'subscribe':
        return client.subscribe(command.topic, {
          qos: command.qos ?? 0, nl: command.nl ?? false, rap: command.rap ?? false, rh: command.rh ?? 0, properties: command.properties
        }, (error, granted) => error ? check(error) : emit('subscribed', { codes: granted.map(grant => grant.qos) }))
      case 'unsubscribe':
        return client.unsubscribe(command.topic, (error, packet) =>
          error ? check(error) : emit('unsubscribed', { codes: [packet?.granted ?? packet?.reasonCode ?? 0].flat() }))
      case 'publish':
        return client.publish(command.topic, bytes(fromBase64(command.payload)), {
          qos: command.qos ?? 0, retain: command.retain ?? false, properties: toProperties(command.properties, bytes)
        }, (error, packet) => error ? check(error) : emit('published', { code: packet?.reasonCode ?? 0 }))
      case 'burst':
        for (let n = command.from; n < command.to; n++) client.publish(command.topic, String(n), { qos: command.qos ?? 0 }, check)
        return
      case 'disconnect':
        return new Promise(resolve => client.end(false, {}, resolve))
      case 'die': // the connection breaks without a DISCONNECT
        return client.stream.destroy()
    }
  }
}
