// pusher-js in headless Chromium, from a page of another origin.
import { readFile } from 'node:fs/promises'
import { application } from './lib/pusher-app.mjs'
import { args, commands } from './lib/io.mjs'
import { inBrowser } from './lib/browser.mjs'

const driver = (await readFile(new URL('./lib/pusher-driver.mjs', import.meta.url), 'utf8')).replace('export function drivePusher', 'window.drivePusher = function')
const { authorize, authenticate } = application(args)
await inBrowser(async ({ page }) => {
  await page.exposeFunction('authorize', authorize)
  await page.exposeFunction('authenticate', authenticate)
  await page.addScriptTag({ url: '/npm/pusher-js/dist/web/pusher-with-encryption.min.js' })
  await page.addScriptTag({ content: driver })
  await page.evaluate(args => {
    window.obey = window.drivePusher(window.Pusher, args, window.emit, window.authorize, window.authenticate)
  }, args)
  await commands(command => page.evaluate(command => { window.obey(command) }, command))
})
