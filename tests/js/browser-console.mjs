// The console in headless Chromium: every page, by keyboard where a person would, light and dark, desktop and phone.
// { url, session, shots? }: the admin listener's address; the client id of a session to disconnect; a directory for screenshots.
// Events: problem (anything the page logs as an error), done.
import { args, emit } from './lib/io.mjs'
import { inBrowser } from './lib/browser.mjs'

function check (truth, what) { if (!truth) throw new Error(what) }

await inBrowser(async ({ page }) => {
  const problems = []
  page.on('pageerror', error => problems.push(String(error)))
  page.on('console', message => { if (message.type() === 'error') problems.push(message.text()) })
  const foreign = []
  page.on('request', request => { if (!request.url().startsWith(args.url) && !/^(data:|http:\/\/127\.0\.0\.1)/.test(request.url())) foreign.push(request.url()) })
  page.on('dialog', dialog => dialog.accept())
  const shot = async name => { if (args.shots) await page.screenshot({ path: `${args.shots}/${name}.png` }) }
  const size = (width, height) => page.setViewportSize({ width, height })
  const text = selector => page.locator(selector).innerText()
  const go = async id => { await page.goto(`${args.url}/#${id}`); await page.waitForSelector(`main[data-page="${id.split('/')[0]}"]`) }

  // With a token: the console asks for it, and remembers it in this tab.
  await size(1280, 860)
  await page.goto(args.url)
  if (args.token) {
    await page.locator('#token').fill(args.token)
    await page.keyboard.press('Enter')
  }
  await page.waitForFunction(() => document.querySelector('#health').textContent === 'ready')
  emit('ready')

  // Overview: figures, charts with lines, the matrix.
  await page.waitForFunction(() => document.querySelectorAll('main canvas').length === 4, null, { timeout: 20000 })
  await page.waitForFunction(() => [...document.querySelectorAll('main table td')].some(cell => cell.textContent.includes('p99')))
  await page.waitForTimeout(args.settle ?? 0)
  check(/delivered \/ s/.test(await text('main')), 'no figures')
  await shot('console-light')
  await page.emulateMedia({ colorScheme: 'dark' })
  await page.locator('#theme').click()
  await page.locator('#theme').click()
  check(await page.evaluate(() => document.documentElement.dataset.theme) === 'dark', 'the theme')
  await page.waitForTimeout(300) // the charts are drawn anew in a frame of their own
  await shot('console-dark')

  // By keyboard: 4 is the channels' page, / its search.
  await page.locator('main').focus()
  await page.keyboard.press('4')
  await page.waitForSelector('main[data-page="channels"]')
  await page.keyboard.press('/')
  await page.keyboard.type('sensors')
  await page.waitForFunction(() => [...document.querySelectorAll('main td a')].some(link => link.textContent === 'sensors/#'))
  await go('channels/' + encodeURIComponent('sensors/kitchen'))
  await page.waitForFunction(() => document.querySelector('main').innerText.includes('"c":21.5'))
  await shot('console-channel')

  // Sessions: find one, inspect it, disconnect it.
  await go('sessions')
  await page.locator('main input[type=search]').fill(args.session)
  await page.getByRole('button', { name: args.session, exact: true }).click()
  await page.waitForSelector('#inspected')
  check((await text('#inspected')).includes('sensors/#'), 'its subscriptions')
  await shot('console-sessions')
  await page.locator('#inspected button.danger').click()
  await page.waitForFunction(() => document.querySelector('main').innerText.includes('No session fits.'))

  // Upstreams: pause and resume, seen in the state.
  await go('upstreams')
  const card = page.locator('[data-upstream="factory"]')
  await card.getByText('● up').or(card.locator('.pill.good')).first().waitFor()
  await shot('console-upstreams')
  await card.getByRole('button', { name: 'Pause' }).click()
  await card.getByText('paused').first().waitFor()
  await card.getByRole('button', { name: 'Resume' }).click()
  await card.locator('.pill.good').waitFor()

  // Monitor: what happens while one looks.
  await go('monitor')
  await page.waitForFunction(() => document.querySelector('main .pill').textContent === 'live')
  emit('monitoring')
  await page.waitForFunction(() => document.querySelector('main .log').innerText.includes('created_client'))
  await shot('console-monitor')

  for (const [id, word] of [['connectors', 'sse'], ['rules', 'theirs → ours'], ['config', '"listen"']]) {
    await go(id)
    await page.waitForFunction(word => document.querySelector('main').innerText.includes(word), word)
    await shot(`console-${id}`)
  }
  check(!(await text('main')).includes('demo-secret'), 'a secret is shown')

  // Try it: each protocol subscribes, and what each publishes reaches all.
  await go('try')
  await page.waitForFunction(() => document.querySelector('main input').value.startsWith('http'))
  await page.getByLabel('Subscribe to').fill('private-try')
  await page.getByLabel('Publish on').fill('private-try')
  await page.getByLabel('Pusher secret').fill('demo-secret')
  const panes = ['sse', 'mqtt', 'bayeux', 'pusher']
  for (const id of panes) {
    await page.locator(`[data-protocol=${id}] button.primary`).click()
    await page.waitForFunction(id => document.querySelector(`[data-protocol=${id}] .pill`).textContent === 'up', id)
  }
  for (const id of panes) {
    await page.getByLabel('Payload').fill(`"from ${id}"`)
    await page.locator(`[data-protocol=${id}]`).getByRole('button', { name: 'Publish' }).click()
    for (const to of panes) await page.waitForFunction(({ id, to }) => document.querySelector(`[data-protocol=${to}] .log`).innerText.includes(`from ${id}`), { id, to })
  }
  await shot('console-try')

  // On a phone nothing is wider than the screen.
  await size(390, 800)
  for (const id of ['overview', 'sessions', 'channels', 'upstreams', 'try', 'monitor']) {
    await go(id)
    await page.waitForTimeout(200)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    check(wide <= 0, `${id} is ${wide} pixels too wide on a phone`)
    await shot(`console-phone-${id}`)
  }
  check(foreign.length === 0, `it loads from elsewhere: ${foreign}`)
  emit('done', { problems: problems.filter(problem => !problem.includes('401')) })
})
