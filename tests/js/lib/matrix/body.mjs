// Payloads as they are told to the test, and as it tells them: { json } | { text } | { binary: base64 } | { bytes: base64 }, where what is long is
// only described: { length, sha256 }. `{ fill: n }` stands for a text of n characters.
import { createHash } from 'node:crypto'

const LONG = 4096

const brief = (bytes, short) => bytes.length <= LONG ? short : { length: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }

export const text = string => ({ text: brief(Buffer.from(string), string) })
export const binary = bytes => ({ binary: brief(bytes, bytes.toString('base64')) })
export const bytes = bytes => ({ bytes: brief(bytes, bytes.toString('base64')) })

/** What a JSON client got: a string, the form of bytes, or JSON. */
export function value (data) {
  if (typeof data === 'string') return text(data)
  const keys = data === null || typeof data !== 'object' ? [] : Object.keys(data)
  return keys.length === 1 && keys[0] === '$b64' ? binary(Buffer.from(data.$b64, 'base64')) : { json: data }
}

/** What a JSON client publishes. */
export const toValue = payload =>
  payload.binary !== undefined ? { $b64: payload.binary } : payload.fill !== undefined ? 'x'.repeat(payload.fill) : payload.text ?? payload.json

/** What others publish. */
export function toBytes (payload) {
  if (payload.binary !== undefined) return Buffer.from(payload.binary, 'base64')
  const data = toValue(payload)
  return Buffer.from(payload.json !== undefined ? JSON.stringify(data) : data)
}
