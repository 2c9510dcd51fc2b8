// What a test may ask of pusher-js, in Node and in a page alike. Commands: { do: 'subscribe' | 'unsubscribe' | 'trigger' | 'signin' | 'members' |
// 'raw' | 'disconnect', channel, name, data }. Events: state, connected, pong, subscribed, event, metadata, members, user, watchlist, fault, triggered.
// It stands alone (no imports), so that a page can load it.

/** `authorize(socketId, channel)` and `authenticate(socketId)` give (promises of) what an application's server would answer. */
export function drivePusher (Pusher, args, emit, authorize, authenticate) {
  const pusher = new Pusher(args.key, {
    cluster: '',
    wsHost: args.host,
    wsPort: args.port,
    wsPath: args.wsPath,
    httpHost: args.host,
    httpPort: args.port,
    forceTLS: false,
    enabledTransports: args.transports ?? ['ws'],
    disableStats: true,
    activityTimeout: args.activityTimeout ?? 120000,
    pongTimeout: args.pongTimeout ?? 30000,
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, callback) => {
        Promise.resolve(authorize(socketId, channelName)).then(data => callback(null, data), error => callback(error, null))
      }
    },
    userAuthentication: {
      customHandler: ({ socketId }, callback) => {
        Promise.resolve(authenticate(socketId)).then(data => callback(null, data), error => callback(error, null))
      }
    }
  })
  pusher.connection.bind('state_change', ({ previous, current }) => emit('state', { previous, current }))
  pusher.connection.bind('connected', () => {
    pusher.connection.connection?.bind('pong', () => emit('pong'))
    emit('connected', { socketId: pusher.connection.socket_id, transport: pusher.connection.connection?.transport?.name })
  })
  pusher.connection.bind('error', error => emit('fault', { code: error?.error?.data?.code ?? error?.data?.code ?? null, message: error?.error?.data?.message ?? error?.data?.message ?? null }))
  pusher.user.bind_global((name, data) => emit('user', { name, data }))
  for (const name of ['online', 'offline']) pusher.user.watchlist.bind(name, data => emit('watchlist', { name, userIds: data.user_ids }))

  const watch = (channel, names) => {
    channel.bind_global((name, data) => {
      if (name === 'pusher:subscription_succeeded') return emit('subscribed', { channel: channel.name, members: data?.members, me: data?.me, count: data?.count })
      emit('event', { channel: channel.name, name, data })
    })
    for (const name of names) channel.bind(name, (data, metadata) => emit('metadata', { channel: channel.name, name, data, metadata: metadata ?? {} }))
  }
  return async command => {
    switch (command.do) {
      case 'subscribe':
        return watch(pusher.subscribe(command.channel), command.names ?? [])
      case 'unsubscribe':
        return pusher.unsubscribe(command.channel)
      case 'trigger':
        return emit('triggered', { sent: pusher.channel(command.channel).trigger(command.name, command.data) })
      case 'members': {
        const { members, count, me } = pusher.channel(command.channel).members
        return emit('members', { members, count, me })
      }
      case 'signin':
        return pusher.signin()
      case 'raw':
        return pusher.connection.connection.transport.socket.send(command.text)
      case 'disconnect':
        return pusher.disconnect()
    }
  }
}
