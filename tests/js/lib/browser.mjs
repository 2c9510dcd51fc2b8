// A page in headless Chromium, and a server for it on an origin of its own, from which it can load the stock clients.
import { createReadStream } from 'node:fs'
import { createServer } from 'node:http'
import { dirname, extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { args, emit } from './io.mjs'

const modules = join(dirname(fileURLToPath(import.meta.url)), '..', 'node_modules')
const types = { '.js': 'text/javascript', '.mjs': 'text/javascript', '.html': 'text/html' }

/** Serves an empty page at `/` and the npm packages at `/npm/`, on `port` if the gateway must know the page's origin. */
export async function pageServer (port) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, 'http://page').pathname))
    if (path === '/') {
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
      return response.end('<!doctype html><meta charset="utf-8"><title>test</title><body>')
    }
    if (path === '/favicon.ico') return response.writeHead(204).end()
    if (!path.startsWith('/npm/')) return response.writeHead(404).end()
    const file = createReadStream(join(modules, path.slice('/npm/'.length)))
    file.on('error', () => response.writeHead(404).end())
    file.once('open', () => {
      response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream' })
      file.pipe(response)
    })
  })
  await new Promise(resolve => server.listen(port ?? 0, '127.0.0.1', resolve))
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.closeAllConnections() ?? server.close() }
}

/**
 * Runs `body({ page, origin, context, browser })` with a page on its own origin. In the page, `emit(event, fields)` reports to the test,
 * and an error that nothing catches fails it.
 */
export async function inBrowser (body) {
  const server = await pageServer(args.pagePort)
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update',
      '--disable-dev-shm-usage', '--no-first-run', '--ignore-certificate-errors']
  })
  try {
    const context = await browser.newContext({ ignoreHTTPSErrors: true })
    const page = await context.newPage()
    page.on('console', message => console.error(`[page] ${message.text()}`))
    page.on('pageerror', error => emit('error', { message: `in the page: ${error.stack ?? error}` }))
    await page.exposeFunction('emit', (event, fields) => emit(event, fields))
    await page.goto(server.origin)
    await body({ page, origin: server.origin, context, browser })
  } finally {
    await browser.close()
    server.close()
  }
}
