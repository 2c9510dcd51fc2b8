// The console while there are ten thousand sessions and channels: { url }. It must show pages, not one list, and find one among all.
import { args, emit } from './lib/io.mjs'
import { inBrowser } from './lib/browser.mjs'

function check (truth, what) { if (!truth) throw new Error(what) }

await inBrowser(async ({ page }) => {
  const seen = {}
  for (const [id, wanted] of [['sessions', 'device-09999'], ['channels', 'own/09999']]) {
    await page.goto(`${args.url}/#${id}`)
    // The first list of the page, with its search box and its buttons.
    const list = page.locator(`main[data-page="${id}"] section.card`).filter({ has: page.locator('tbody') }).first()
    const row = list.locator('tbody tr')
    await list.getByText(/10\.0k/).waitFor()
    seen[id] = { rows: await row.count(), nodes: await page.evaluate(() => document.querySelectorAll('*').length) }
    check(seen[id].rows > 0 && seen[id].rows <= 100, `${seen[id].rows} rows at once`)
    const before = await row.first().innerText()
    await list.getByRole('button', { name: 'Next page' }).click()
    await row.first().filter({ hasNotText: before.split(/\s/)[0] }).waitFor()
    await list.locator('input[type=search]').fill(wanted)
    await row.filter({ hasText: wanted }).waitFor()
    check(await row.count() === 1, 'one fits')
  }
  emit('done', seen)
})
