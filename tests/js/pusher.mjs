// pusher-js in Node (or, with `echo`, underneath Laravel Echo).
import Pusher from 'pusher-js'
import { drivePusher } from './lib/pusher-driver.mjs'
import { application } from './lib/pusher-app.mjs'
import { args, commands, emit } from './lib/io.mjs'

const { authorize, authenticate } = application(args)
await commands(drivePusher(Pusher, args, emit, authorize, authenticate))
process.exit(0)
