// The console while there are ten thousand sessions and channels: { url }. It must show pages, not one list, and find one among all.
import { args, emit } from './lib/io.mjs'
import { inBrowser } from './lib/browser.mjs'

function check (truth, what) { if (!truth) throw new Error(what) }

await inBrowser(async ({ page }) => {
  const seen = {}
  const rows = () => page.locator('main tbody tr').count()
  const first = () => page.locator('main tbody tr').first().innerText()
  for (const [id, wanted, found] of [['sessions', 'device-09999', 'device-09999'], ['channels', 'own/09999', 'own/09999']]) {
    await page.goto(`${args.url}/#${id}`)
    await page.waitForSelector(`main[data-page="${id}"] tbody tr`)
    await page.waitForFunction(() => /10\.0 ?k/i.test(document.querySelector('main .tools').textContent))
    seen[id] = { rows: await rows(), nodes: await page.evaluate(() => document.querySelectorAll('*').length) }
    check(seen[id].rows <= 100, `${seen[id].rows} rows at once`)
    const before = await first()
    await page.getByRole('button', { name: 'Next page' }).click()
    await page.waitForFunction(before => document.querySelector('main tbody tr')?.innerText !== before, before)
    await page.locator('main input[type=search]').fill(wanted)
    await page.waitForFunction(found => {
      const rows = [...document.querySelectorAll('main tbody tr')]
      return rows.length === 1 && rows[0].innerText.includes(found)
    }, found)
  }
  emit('done', seen)
})
