// One pane for each client: how it is connected, what it received, and a box to publish with it.
const MAX_ROWS = 60

export class Pane {
  constructor (client, publish) {
    this.client = client
    const pane = this.element = el('section', 'card pane')
    pane.dataset.who = client.id
    pane.setAttribute('aria-label', client.name)
    const head = el('div'), title = el('h3', '', client.name), dot = el('span', 'dot')
    title.append(el('small', '', `${client.protocol} · ${client.version}`), dot)
    const how = el('code', 'how', client.how)
    how.title = client.how
    head.append(title, how)
    this.dot = dot
    this.rows = el('ol', 'rows')
    this.rows.tabIndex = 0
    this.rows.setAttribute('aria-label', `Received by ${client.name}`)
    const form = el('form'), input = el('input'), button = el('button', '', 'Send')
    input.placeholder = 'Say something…'
    input.setAttribute('aria-label', `Publish with ${client.name}`)
    input.autocomplete = 'off'
    form.append(input, button)
    form.onsubmit = event => {
      event.preventDefault()
      publish(this, input.value.trim() || 'Hello!')
      input.value = ''
    }
    this.output = el('output')
    pane.append(head, this.rows, form, this.output)
    this.state('connecting')
  }

  state (state) {
    this.element.dataset.state = state
    this.dot.title = { live: 'connected', down: 'connection lost, trying again', connecting: 'connecting' }[state]
  }

  /** Shows a message; `who` is its sender, where that is known yet. */
  show (native, data, who) {
    const reading = data && typeof data === 'object' && 'value' in data && 'unit' in data
    const row = el('li', reading ? '' : 'said'), channel = el('span', 'ch', native), value = el('span', 'val')
    channel.title = native
    if (reading) value.append(String(data.value), ' ', el('small', '', data.unit))
    else value.append(text(data))
    row.append(channel, value)
    if (who) mark(row, who)
    const read = this.rows.scrollTop
    this.rows.prepend(row)
    // Whoever has scrolled down keeps what they look at.
    if (read > 0) this.rows.scrollTop = read + row.offsetHeight
    while (this.rows.childElementCount > MAX_ROWS) this.rows.lastElementChild.remove()
    return row
  }

  say (text, kind) {
    this.output.textContent = text
    this.output.className = kind ?? ''
  }
}

/** Says who sent a row's message. */
export function mark (row, who) {
  row.dataset.who = who.id
  if (row.className === 'said' && !row.querySelector('b')) row.firstElementChild.append(' · ', el('b', '', who.name))
}

function text (data) {
  if (typeof data === 'string') return data === '' ? '(empty)' : data.slice(0, 500)
  return typeof data?.text === 'string' ? data.text : JSON.stringify(data).slice(0, 500)
}

export function el (tag, className, text) {
  const node = document.createElement(tag)
  if (className) node.className = className
  if (text !== undefined) node.textContent = text
  return node
}
