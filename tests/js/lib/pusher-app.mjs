// The application's own server: signs what its clients ask for, with the official SDK.
import PusherServer from 'pusher'

export const masterKey = Buffer.alloc(32, 7).toString('base64')

export function application (args) {
  const server = new PusherServer({
    appId: args.appId ?? 'demo', key: args.key, secret: args.secret, host: args.host, port: String(args.port), useTLS: false, encryptionMasterKeyBase64: masterKey
  })
  const authorize = (socketId, channel) => {
    if (args.forgeFor === channel) return { auth: `${args.key}:${'0'.repeat(64)}` }
    if (channel.startsWith('presence-')) return server.authorizeChannel(socketId, channel, { user_id: args.userId, user_info: args.userInfo ?? { name: 'A' } })
    const answer = server.authorizeChannel(socketId, channel, args.channelData)
    return answer
  }
  const authenticate = socketId => server.authenticateUser(socketId, { id: String(args.userId), user_info: args.userInfo ?? { name: 'A' }, watchlist: args.watchlist })
  return { server, authorize, authenticate }
}
