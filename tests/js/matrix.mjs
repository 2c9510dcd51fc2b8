// One protocol's part in the matrix, with its stock clients: { protocol, near, source, sink, names }. It subscribes at the gateway `near`
// and at the far server `sink`, and publishes at `near` and at the far server `source`, as told.
// Commands: { do: 'publish', at: 'near' | 'source', name, payload, ...said } → published; { do: 'fresh', at: who hears it, name } → ready, and
// what a new subscriber is shown: fresh. Every other message is an event that is named after who heard it (near, sink, ...).
import { args, commands, emit } from './lib/io.mjs'

const { open } = await import(`./lib/matrix/${args.protocol}.mjs`)
const doors = await open(args)
emit('open')
await commands(async command => {
  if (command.do === 'publish') {
    const { at, name, payload, ...said } = command
    try {
      await doors.publish(at, name, payload, said)
      emit('published', { ok: true })
    } catch (error) {
      emit('published', { ok: false, why: String(error?.message ?? error) })
    }
  } else {
    await doors.fresh(command.at, command.name)
    emit('ready')
  }
})
process.exit(0)
