// The demo's page in headless Chromium: { url, screenshots?: [{ path, width, height, dark, full }] }. It reports `pane` for each client, then
// publishes with each of them and reports `reached` with what every pane shows; `foreign` for any request that leaves the gateway.
import { chromium } from 'playwright-core'
import { args, emit } from './lib/io.mjs'

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage', '--no-first-run']
})

async function open (options) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  page.on('console', message => { if (message.type() === 'error') emit('error', { message: `on the console: ${message.text()}` }) })
  page.on('pageerror', error => emit('error', { message: `in the page: ${error.stack ?? error}` }))
  page.on('request', request => {
    const { host, protocol } = new URL(request.url())
    if (host !== new URL(args.url).host && protocol !== 'data:' && protocol !== 'blob:') emit('foreign', { url: request.url() })
  })
  await page.goto(args.url)
  await page.waitForFunction(() => document.querySelectorAll('.pane[data-state=live]').length === 4)
  await page.waitForFunction(() => [...document.querySelectorAll('.rows')].every(rows => rows.querySelectorAll('li[data-who=fleet]').length >= 3))
  return page
}

try {
  const page = await open({ viewport: { width: 1360, height: 900 } })
  const panes = page.locator('.pane')
  for (let n = 0; n < 4; n++) {
    const pane = panes.nth(n)
    emit('pane', { who: await pane.getAttribute('data-who'), fleet: await pane.locator('li[data-who=fleet]').count(), first: await pane.locator('.ch').first().textContent() })
  }
  for (let n = 0; n < 4; n++) {
    const pane = panes.nth(n), who = await pane.getAttribute('data-who'), text = `said by ${who}`
    await pane.locator('input').fill(text)
    await pane.locator('input').press('Enter')
    await page.waitForFunction(text => [...document.querySelectorAll('.rows')].every(rows => rows.textContent.includes(text)), text)
    await page.waitForFunction(n => document.querySelectorAll('.pane output')[n].className === 'done', n)
    const shown = await page.evaluate(text => [...document.querySelectorAll('.rows li')].filter(row => row.textContent.includes(text)).map(row => row.dataset.who), text)
    emit('reached', { who, shown, told: await pane.locator('output').textContent() })
  }
  if (args.foreigner) {
    emit('asked', {})
    await page.waitForFunction(text => [...document.querySelectorAll('.rows')].every(rows => rows.querySelector('li[data-who=other]')?.textContent.includes(text)), args.foreigner)
    emit('foreigner', {})
  }
  emit('totals', await page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.node')].map(node => [node.parentElement.id + '.' + node.dataset.who, Number(node.querySelector('b').textContent)]))))
  for (const { path, width, height, dark, full } of args.screenshots ?? []) {
    const page = await open({ viewport: { width, height }, colorScheme: dark ? 'dark' : 'light', isMobile: width < 600, hasTouch: width < 600 })
    await page.waitForTimeout(3000)
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    for (const [n, text] of ['Hello from the browser', 'Hi EventSource, this is Pusher', 'Bayeux was here first', 'MQTT says hello to all of you'].entries()) {
      await page.locator('.pane input').nth(n).fill(text)
      await page.locator('.pane button').nth(n).click()
      await page.waitForFunction(n => document.querySelectorAll('.pane output')[n].className === 'done', n)
    }
    await page.evaluate(() => document.activeElement?.blur())
    await page.waitForTimeout(2600)
    await page.screenshot({ path, fullPage: Boolean(full) })
    emit('screenshot', { path, overflow })
  }
} finally {
  await browser.close()
}
