// How a script talks with the test that started it: one JSON argument, JSON lines out (events) and in (commands).
import { createInterface } from 'node:readline'

export const args = JSON.parse(process.argv[2] ?? '{}')

export function emit (event, fields = {}) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
}

/** Calls `handler(command)` for every command, one after the other; the script ends when its input does. */
export async function commands (handler) {
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim()) await handler(JSON.parse(line))
  }
}

function fail (error) {
  emit('error', { message: String(error?.stack ?? error) })
  process.exit(1)
}
process.on('uncaughtException', fail)
process.on('unhandledRejection', fail)

export const b64 = bytes => Buffer.from(bytes).toString('base64')
export const unb64 = text => Buffer.from(text, 'base64')
