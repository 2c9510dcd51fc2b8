// The npm `eventsource` client. { url, last?, report? }: reports every message, or, with `last`, only that data.n reached `report` and
// `last`, with all it saw in between.
import { EventSource } from 'eventsource'
import { args, commands, emit } from './lib/io.mjs'

const source = new EventSource(args.url)
const seen = []
const resumes = []

source.addEventListener('open', () => emit('open'))
source.addEventListener('error', error => emit('closed', { code: error.code, state: source.readyState }))
source.addEventListener('resume', event => {
  resumes.push(JSON.parse(event.data))
  emit('resume', resumes.at(-1))
})
source.addEventListener('message', event => {
  const data = JSON.parse(event.data)
  if (args.last === undefined) return emit('message', { id: event.lastEventId, data })
  const n = data.data.n
  seen.push(n)
  if (n === args.report) emit('reached')
  if (n === args.last) emit('done', { seen, resumes })
})

await commands(() => {})
source.close()
