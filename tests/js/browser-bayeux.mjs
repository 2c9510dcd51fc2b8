// The Bayeux clients in headless Chromium, from a page of another origin: { client: 'cometd' | 'faye', url, transport }.
import { readFile } from 'node:fs/promises'
import { args, commands } from './lib/io.mjs'
import { inBrowser } from './lib/browser.mjs'

const drivers = (await readFile(new URL('./lib/bayeux-drivers.mjs', import.meta.url), 'utf8')).replaceAll('export function ', 'window.')
  .replace('window.driveCometD (', 'window.driveCometD = function (').replace('window.driveFaye (', 'window.driveFaye = function (')
await inBrowser(async ({ page }) => {
  if (args.client === 'faye') await page.addScriptTag({ url: '/npm/faye/client/faye-browser-min.js' })
  await page.addScriptTag({ content: drivers })
  await page.evaluate(async args => {
    window.obey = args.client === 'cometd'
      ? window.driveCometD(await import('/npm/cometd/cometd.js'), args, window.emit)
      : window.driveFaye(window.Faye, args, window.emit)
  }, args)
  await commands(command => page.evaluate(command => { window.obey(command) }, command))
})
