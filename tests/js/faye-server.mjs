// Faye's server: { port, timeout }. Commands: { do: 'publish', channel, data }. Events: ready, subscribe, publish.
import http from 'node:http'
import Faye from 'faye'
import { args, commands, emit } from './lib/io.mjs'

const bayeux = new Faye.NodeAdapter({ mount: '/bayeux', timeout: args.timeout ?? 5 })
bayeux.on('subscribe', (client, channel) => emit('subscribe', { channel }))
bayeux.on('publish', (client, channel, data) => emit('publish', { channel, data }))
const server = http.createServer()
bayeux.attach(server)
server.listen(args.port, '127.0.0.1', () => emit('ready'))
await commands(({ channel, data }) => { bayeux.getClient().publish(channel, data) })
process.exit(0)
