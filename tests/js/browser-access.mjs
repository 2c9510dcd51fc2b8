// One person's browser, at a page whose origin the gateway knows, with every client in it: { url, pagePort, cookie?, channel, pusherChannel, key, secret, userId, token? }. Each tells
// once how it fared: { event: 'eventsource' | 'pusher' | 'mqtt' | 'cometd', allowed, why? }, and those that may read: message.
import { application } from './lib/pusher-app.mjs'
import { args, commands } from './lib/io.mjs'
import { inBrowser } from './lib/browser.mjs'

const { hostname: host, port } = new URL(args.url)
const { authorize, authenticate } = application({ ...args, host, port })

await inBrowser(async ({ page, context }) => {
  if (args.cookie) await context.addCookies([{ name: 'ratatosk_token', value: args.cookie, url: args.url }])
  await page.exposeFunction('authorize', authorize)
  await page.exposeFunction('authenticate', authenticate)
  await page.addScriptTag({ url: '/npm/pusher-js/dist/web/pusher.min.js' })
  await page.addScriptTag({ url: '/npm/mqtt/dist/mqtt.min.js' })
  await page.evaluate(async ({ url, channel, pusherChannel, key, host, port, token }) => {
    const seen = client => data => window.emit('message', { client, data })
    const told = (event, allowed, why) => window.emit(event, { allowed, why })

    const stream = new EventSource(`${url}/sse?${new URLSearchParams({ channel })}`, { withCredentials: true })
    stream.onopen = () => told('eventsource', true)
    stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) told('eventsource', false) }
    stream.onmessage = ({ data }) => seen('eventsource')(JSON.parse(data).data)

    const pusher = new window.Pusher(key, {
      cluster: '', wsHost: host, wsPort: port, forceTLS: false, enabledTransports: ['ws'], disableStats: true,
      channelAuthorization: { customHandler: ({ socketId, channelName }, callback) => window.authorize(socketId, channelName).then(data => callback(null, data)) },
      userAuthentication: { customHandler: ({ socketId }, callback) => window.authenticate(socketId).then(data => callback(null, data)) }
    })
    pusher.signin()
    const subscribe = () => {
      const private_ = pusher.subscribe(pusherChannel)
      private_.bind('pusher:subscription_succeeded', () => told('pusher', true))
      private_.bind('pusher:subscription_error', error => told('pusher', false, error.status))
      private_.bind('message', seen('pusher'))
    }
    pusher.connection.bind('connected', () => pusher.user.signinDonePromise.then(subscribe))

    const credentials = token ? { username: 'jwt', password: token } : {}
    const client = window.mqtt.connect(`ws://${host}:${port}/mqtt`, { protocolVersion: 5, reconnectPeriod: 0, ...credentials })
    client.on('error', error => told('mqtt', false, error.code))
    client.on('connect', () => client.subscribe(channel, (error, granted) => told('mqtt', !error && granted[0].qos < 128, error?.code)))
    client.on('message', (topic, payload) => seen('mqtt')(JSON.parse(new TextDecoder().decode(payload))))

    const { CometD } = await import('/npm/cometd/cometd.js')
    const cometd = new CometD()
    cometd.configure({ url: `${url}/bayeux`, logLevel: 'warn' })
    cometd.handshake(token ? { ext: { token } } : {}, reply => {
      if (!reply.successful) return told('cometd', false, reply.error)
      cometd.subscribe(`/${channel}`, ({ data }) => seen('cometd')(data), reply => told('cometd', reply.successful, reply.error))
    })
  }, { ...args, host, port })
  await commands(() => {})
})
