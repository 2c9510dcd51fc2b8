// A bare WebSocket over TLS with a client's certificate: { url, ca, cert?, key? }. Commands: { do: 'send', text }.
// Events: open, frame, closed. Stock browsers' clients cannot be given a certificate by a page.
import { readFileSync } from 'node:fs'
import WebSocket from 'ws'
import { args, commands, emit } from './lib/io.mjs'

const read = file => file && readFileSync(file)
const socket = new WebSocket(args.url, { ca: read(args.ca), cert: read(args.cert), key: read(args.key) })
socket.on('open', () => emit('open'))
socket.on('message', data => emit('frame', JSON.parse(data)))
socket.on('close', code => emit('closed', { code }))
socket.on('error', error => emit('closed', { message: error.message }))
await commands(command => socket.send(command.text))
socket.terminate()
