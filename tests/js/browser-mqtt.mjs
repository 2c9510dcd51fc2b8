// MQTT.js in headless Chromium, over WebSocket.
import { readFile } from 'node:fs/promises'
import { args, commands } from './lib/io.mjs'
import { inBrowser } from './lib/browser.mjs'

const driver = (await readFile(new URL('./lib/mqtt-driver.mjs', import.meta.url), 'utf8')).replace('export function drive', 'window.drive = function drive')
await inBrowser(async ({ page }) => {
  await page.addScriptTag({ url: '/npm/mqtt/dist/mqtt.min.js' })
  await page.addScriptTag({ content: `{ ${driver} }` })
  await page.evaluate(args => {
    window.obey = window.drive(window.mqtt, args, window.emit, bytes => bytes)
  }, args)
  await commands(command => page.evaluate(command => { window.obey(command) }, command))
  await page.evaluate(() => window.obey({ do: 'disconnect' })) // a page that is closed would break the connection instead
})
