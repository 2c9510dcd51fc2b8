// What a test may ask of the Bayeux clients, in Node and in a page alike. Commands: { do: 'subscribe' | 'unsubscribe' | 'publish' | 'burst' |
// 'disconnect', channel, data }. Events: handshake, connect, subscribed, unsubscribed, published, message, disconnected, down, up.
// It stands alone (no imports), so that a page can load it.

/** CometD's client. `transport` picks one; `extensions` are named as in its package. */
export function driveCometD (cometd, args, emit) {
  const client = new cometd.CometD()
  client.configure({
    url: args.url, logLevel: args.logLevel ?? 'warn', backoffIncrement: 100, maxBackoff: 500, maxNetworkDelay: 20000, useWorkerScheduler: false,
    advice: { timeout: args.timeout ?? 400, interval: 0, maxInterval: 0, reconnect: 'retry' }
  })
  for (const type of client.getTransportTypes()) if (type !== args.transport) client.unregisterTransport(type)
  for (const name of args.extensions ?? []) client.registerExtension(name, new cometd[name]())
  const subscriptions = new Map()
  let up = false
  client.addListener('/meta/handshake', message => {
    emit('handshake', { successful: message.successful, clientId: message.clientId, error: message.error, ext: message.ext, transport: client.getTransport()?.type })
    // CometD's client does not renew the subscriptions of a session that the server has lost.
    if (message.successful) for (const [channel, deliver] of subscriptions) subscriptions.set(channel, subscribe(channel, deliver.callback))
  })
  client.addListener('/meta/connect', message => {
    const now = message.successful === true
    if (now !== up) emit(now ? 'up' : 'down', { error: message.error, advice: message.advice })
    up = now
    emit('connect', { successful: now, error: message.error, advice: message.advice })
  })
  const subscribe = (channel, callback) => {
    const handle = client.subscribe(channel, callback, reply => emit('subscribed', { channel, successful: reply.successful, error: reply.error }))
    return Object.assign(handle, { callback })
  }
  client.handshake(args.handshake ?? {})
  return async command => {
    const { channel, data } = command
    switch (command.do) {
      case 'subscribe':
        subscriptions.set(channel, subscribe(channel, message => emit('message', { subscription: channel, channel: message.channel, data: message.data, json: message })))
        return
      case 'unsubscribe':
        client.unsubscribe(subscriptions.get(channel), reply => emit('unsubscribed', { channel, successful: reply.successful, error: reply.error }))
        subscriptions.delete(channel)
        return
      case 'publish':
        return client.publish(channel, data, reply => emit('published', { channel, successful: reply.successful, error: reply.error }))
      case 'publishBinary':
        return client.publishBinary(channel, Uint8Array.from(data), true, {}, reply => emit('published', { channel, successful: reply.successful, error: reply.error }))
      case 'burst':
        return client.batch(() => { for (let n = command.from; n < command.to; n++) client.publish(channel, { n }) })
      case 'disconnect':
        return client.disconnect(reply => emit('disconnected', { successful: reply.successful }))
    }
  }
}

/** Faye's client. It shakes hands by long-polling (callback-polling from another origin) before it moves to `transport`. */
export function driveFaye (Faye, args, emit) {
  const client = new Faye.Client(args.url, { retry: 0.2, timeout: 120 })
  const polling = ['long-polling', 'callback-polling']
  const keep = polling.includes(args.transport) ? [args.transport] : [args.transport, ...polling]
  for (const type of ['websocket', 'eventsource', 'long-polling', 'cross-origin-long-polling', 'callback-polling', 'in-process']) {
    if (!keep.includes(type)) client.disable(type)
  }
  client.on('transport:up', () => emit('up'))
  client.on('transport:down', () => emit('down'))
  client.addExtension({
    incoming (message, next) {
      if (message.channel === '/meta/handshake') emit('handshake', { successful: message.successful, clientId: message.clientId, error: message.error })
      if (message.channel === '/meta/connect') emit('connect', { successful: message.successful, error: message.error, advice: message.advice })
      next(message)
    }
  })
  const subscriptions = new Map()
  const told = (event, channel) => [() => emit(event, { channel, successful: true }), error => emit(event, { channel, successful: false, error: String(error.message ?? error) })]
  client.connect()
  return async command => {
    const { channel, data } = command
    switch (command.do) {
      case 'subscribe': {
        const subscription = client.subscribe(channel).withChannel((from, data) => emit('message', { subscription: channel, channel: from, data }))
        subscriptions.set(channel, subscription)
        return void subscription.then(...told('subscribed', channel))
      }
      case 'unsubscribe':
        subscriptions.get(channel).cancel()
        return emit('unsubscribed', { channel, successful: true })
      case 'publish':
        return void client.publish(channel, data).then(...told('published', channel))
      case 'burst':
        for (let n = command.from; n < command.to; n++) client.publish(channel, { n })
        return
      case 'disconnect':
        return void client.disconnect()?.then?.(...told('disconnected'))
    }
  }
}
