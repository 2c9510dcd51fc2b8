// The official npm `pusher` server SDK, and an HTTP server that receives webhooks and checks them with the SDK.
// Commands: { do: 'trigger' | 'triggerBatch' | 'sendToUser' | 'terminate' | 'get' | 'fail', ... }. Events: done, webhook, forged, ready.
import { createServer } from 'node:http'
import { application } from './lib/pusher-app.mjs'
import { args, commands, emit } from './lib/io.mjs'

let failures = 0
let { server } = application({ ...args, host: '127.0.0.1', port: 1 }) // before `point`, only to check webhooks
const receiver = createServer(async (request, response) => {
  let rawBody = ''
  for await (const chunk of request) rawBody += chunk
  if (failures > 0) {
    failures--
    emit('failed', { body: JSON.parse(rawBody) })
    return response.writeHead(500).end()
  }
  const webhook = server.webhook({ headers: request.headers, rawBody })
  if (!webhook.isValid()) emit('forged', { body: rawBody, headers: request.headers })
  else {
    for (const { name: kind, event: clientEvent, ...rest } of webhook.getEvents()) {
      emit('webhook', { kind, clientEvent, ...rest, time: webhook.getTime() })
    }
  }
  response.writeHead(200).end()
})
await new Promise(resolve => receiver.listen(args.webhookPort ?? 0, '127.0.0.1', resolve))
emit('ready', { url: `http://127.0.0.1:${receiver.address().port}/` })

const answer = async promise => {
  try {
    const response = await promise
    emit('done', { status: response.status, body: await response.json() })
  } catch (error) {
    if (error.status === undefined) throw error
    emit('done', { status: error.status, body: error.body })
  }
}
await commands(async command => {
  if (command.do === 'point') {
    server = application({ ...args, ...command }).server
    return emit('pointed')
  }
  const { channel, name, data, params } = command
  switch (command.do) {
    case 'trigger': return answer(server.trigger(channel, name, data, params))
    case 'triggerBatch': return answer(server.triggerBatch(command.batch))
    case 'sendToUser': return answer(server.sendToUser(command.user, name, data))
    case 'terminate': return answer(server.terminateUserConnections(command.user))
    case 'get': return answer(server.get({ path: command.path, params: params ?? {} }))
    case 'post': return answer(server.post({ path: command.path, body: command.body, params: params ?? {} }))
    case 'fail': failures = command.times
  }
})
process.exit(0)
