// One person's browser at the gateway's own page, with every client in it: { url, cookie?, channel, pusherChannel, key, secret, userId, token? }. Each tells
// once how it fared: { event: 'eventsource' | 'pusher' | 'mqtt' | 'cometd', allowed, why? }, and those that may read: message.
import { readFile } from 'node:fs/promises'
import { application } from './lib/pusher-app.mjs'
import { args, commands, emit } from './lib/io.mjs'
import { inBrowser } from './lib/browser.mjs'

const module = path => readFile(new URL(`./node_modules/${path}`, import.meta.url), 'utf8')
const { hostname: host, port } = new URL(args.url)
const { authorize, authenticate } = application({ ...args, host, port })

await inBrowser(async ({ context: { browser } }) => {
  // The gateway's page allows no scripts but its own; the clients are brought in as a page of the operator's would have them.
  const context = await browser().newContext({ bypassCSP: true })
  if (args.cookie) await context.addCookies([{ name: 'ratatosk_token', value: args.cookie, url: args.url }])
  const page = await context.newPage()
  await page.exposeFunction('emit', emit)
  await page.exposeFunction('authorize', authorize)
  await page.exposeFunction('authenticate', authenticate)
  await page.goto(args.url)
  await page.addScriptTag({ content: await module('pusher-js/dist/web/pusher.min.js') })
  await page.addScriptTag({ content: await module('mqtt/dist/mqtt.min.js') })
  await page.evaluate(async ({ url, channel, pusherChannel, key, host, port, token, source }) => {
    const seen = client => data => window.emit('message', { client, data })
    const told = (event, allowed, why) => window.emit(event, { allowed, why })

    const stream = new EventSource(`/sse?${new URLSearchParams({ channel })}`)
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

    const { CometD } = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })))
    const cometd = new CometD()
    cometd.configure({ url: `${url}/bayeux`, logLevel: 'warn' })
    cometd.handshake(token ? { ext: { token } } : {}, reply => {
      if (!reply.successful) return told('cometd', false, reply.error)
      cometd.subscribe(`/${channel}`, ({ data }) => seen('cometd')(data), reply => told('cometd', reply.successful, reply.error))
    })
  }, { ...args, host, port, source: await module('cometd/cometd.js') })
  await commands(() => {})
})
