// MQTT.js in Node, over TCP or WebSocket (by the URL).
import mqtt from 'mqtt'
import { drive } from './lib/mqtt-driver.mjs'
import { args, commands, emit } from './lib/io.mjs'

const obey = drive(mqtt, args, emit, Buffer.from)
await commands(obey)
await obey({ do: 'disconnect' })
