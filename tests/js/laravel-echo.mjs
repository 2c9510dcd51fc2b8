// Laravel Echo over pusher-js: { key, secret, host, port, userId }. Commands: { do: 'listen' | 'private' | 'join' | 'whisper' | 'leave', channel, name, data }.
import Echo from 'laravel-echo'
import Pusher from 'pusher-js'
import { application } from './lib/pusher-app.mjs'
import { args, commands, emit } from './lib/io.mjs'

const { authorize } = application(args)
const echo = new Echo({
  broadcaster: 'pusher',
  key: args.key,
  cluster: '',
  namespace: 'App.Events',
  client: new Pusher(args.key, {
    cluster: '', wsHost: args.host, wsPort: args.port, forceTLS: false, enabledTransports: ['ws'], disableStats: true,
    channelAuthorization: { customHandler: ({ socketId, channelName }, callback) => callback(null, authorize(socketId, channelName)) }
  })
})
const channels = new Map()
const follow = (channel, name) => {
  const key = channel.name
  channels.set(key, channel)
  channel.subscribed(() => emit('subscribed', { channel: key })).error(error => emit('refused', { channel: key, error }))
  if (name) channel.listen(name, data => emit('event', { channel: key, name, data }))
  return channel
}
await commands(({ do: what, channel, name, data }) => {
  switch (what) {
    case 'listen': return void follow(echo.channel(channel), name)
    case 'private': return void follow(echo.private(channel), name).listenForWhisper('typing', data => emit('whisper', { data }))
    case 'join': return void follow(echo.join(channel), name).here(users => emit('here', { users })).joining(user => emit('joining', { user })).leaving(user => emit('leaving', { user }))
    case 'whisper': return void channels.get(channel).whisper('typing', data)
    case 'leave': return echo.leave(channel)
  }
})
echo.disconnect()
process.exit(0)
