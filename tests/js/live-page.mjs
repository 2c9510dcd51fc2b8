// The page at `/` in headless Chromium: { url, screenshot? }. Reports `live`, the first `row`, and who is `connected`.
import { chromium } from 'playwright-core'
import { args, emit } from './lib/io.mjs'

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage', '--no-first-run']
})
try {
  const page = await browser.newPage({ viewport: { width: args.width ?? 1180, height: args.height ?? 760 }, colorScheme: args.dark ? 'dark' : 'light' })
  page.on('pageerror', error => emit('error', { message: `in the page: ${error.stack ?? error}` }))
  await page.goto(args.url)
  await page.waitForSelector('#state[data-s=live]')
  emit('live')
  const row = page.locator('#log summary').first()
  await row.waitFor()
  emit('row', { channel: await row.locator('.ch').textContent(), preview: await row.locator('.pv').textContent() })
  await page.waitForFunction(() => /EventSource1/.test(document.getElementById('who').textContent))
  emit('connected', { text: await page.locator('#who').textContent() })
  if (args.screenshot) {
    await page.waitForTimeout(4000)
    await page.screenshot({ path: args.screenshot })
  }
} finally {
  await browser.close()
}
