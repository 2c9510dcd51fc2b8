// The Bayeux clients in Node: { client: 'cometd' | 'faye', url, transport }.
import * as cometd from 'cometd'
import { adapt } from 'cometd-nodejs-client'
import Faye from 'faye'
import { driveCometD, driveFaye } from './lib/bayeux-drivers.mjs'
import { args, commands, emit } from './lib/io.mjs'

if (args.client === 'cometd') adapt()
const obey = args.client === 'cometd' ? driveCometD(cometd, args, emit) : driveFaye(Faye, args, emit)
await commands(obey)
process.exit(0)
