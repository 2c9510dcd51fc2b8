// The browser's own EventSource. { url, page?, withCredentials?, last?, report? }: `page` is the address of the page to do it from
// (otherwise a page of another origin). Commands: { open: [urls] } opens more streams.
import { args, commands, emit } from './lib/io.mjs'
import { inBrowser } from './lib/browser.mjs'

await inBrowser(async ({ page }) => {
  if (args.page) await page.goto(args.page)
  await page.evaluate(args => {
    window.follow = (url, name) => {
      const source = new EventSource(url, { withCredentials: args.withCredentials ?? false })
      const seen = []
      const resumes = []
      source.addEventListener('open', () => window.emit('open', { name }))
      source.addEventListener('error', () => window.emit('closed', { name, state: source.readyState }))
      source.addEventListener('resume', event => {
        resumes.push(JSON.parse(event.data))
        window.emit('resume', resumes.at(-1))
      })
      source.addEventListener('message', event => {
        if (args.last === undefined) return window.emit('message', { name, id: event.lastEventId, data: event.data })
        const n = JSON.parse(event.data).data.n
        seen.push(n)
        if (n === args.report) window.emit('reached')
        if (n === args.last) window.emit('done', { seen, resumes })
      })
    }
    window.follow(args.url, 'first')
  }, args)
  await commands(async ({ open }) => {
    for (const url of open) await page.evaluate(url => window.follow(url, url), url)
    emit('opened')
  })
})
