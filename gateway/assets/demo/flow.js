// The map: who published, the bus, who received. Wires and pulses are drawn on one canvas behind the nodes.
const FLIGHT = 420
const still = matchMedia('(prefers-reduced-motion: reduce)')

export class Flow {
  constructor (senders, receivers) {
    this.canvas = document.getElementById('wires')
    this.hub = document.getElementById('hub')
    this.senders = nodes('senders', senders)
    this.receivers = nodes('receivers', receivers)
    this.pulses = []
    new ResizeObserver(() => this.measure()).observe(this.canvas.parentElement)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.measure())
    this.measure()
  }

  /** A message was published by `who`; answers when it reaches the bus on the map. */
  sent (who) {
    this.count(this.senders, who)
    return this.fly(this.senders.get(who), true, who, performance.now())
  }

  /** It was received: the pulse leaves the bus at `at`. */
  received (client, who, at) {
    this.count(this.receivers, client)
    this.fly(this.receivers.get(client), false, who, Math.max(at, performance.now()))
  }

  count (nodes, id) {
    const node = nodes.get(id)
    node.total.textContent = (++node.number).toLocaleString('en')
    node.element.classList.add('lit')
    clearTimeout(node.timer)
    node.timer = setTimeout(() => node.element.classList.remove('lit'), 160)
  }

  fly (node, inward, who, start) {
    if (!still.matches && !document.hidden && this.pulses.length < 300) {
      this.pulses.push({ node, inward, who, start })
      if (this.pulses.length === 1) requestAnimationFrame(() => this.draw())
    }
    return start + FLIGHT
  }

  measure () {
    const { canvas } = this, box = canvas.getBoundingClientRect(), scale = devicePixelRatio || 1
    canvas.width = box.width * scale
    canvas.height = box.height * scale
    this.scale = scale
    const hub = this.hub.getBoundingClientRect(), style = getComputedStyle(document.documentElement)
    const middle = hub.top + hub.height / 2 - box.top
    for (const [map, left] of [[this.senders, true], [this.receivers, false]]) {
      for (const node of map.values()) {
        const at = node.element.getBoundingClientRect(), y = at.top + at.height / 2 - box.top
        const from = (left ? at.right : at.left) - box.left, to = (left ? hub.left : hub.right) - box.left
        node.curve = { x0: from, y0: y, x1: to, y1: middle }
      }
    }
    this.colors = Object.fromEntries(['fleet', 'eventsource', 'pusher', 'cometd', 'mqtt', 'other', 'wire'].map(name => [name, style.getPropertyValue('--' + name)]))
    this.draw()
  }

  draw () {
    const g = this.canvas.getContext('2d'), now = performance.now()
    g.setTransform(this.scale, 0, 0, this.scale, 0, 0)
    g.clearRect(0, 0, this.canvas.width, this.canvas.height)
    g.strokeStyle = this.colors.wire
    g.lineWidth = 1.5
    for (const map of [this.senders, this.receivers]) {
      for (const { curve: { x0, y0, x1, y1 } } of map.values()) {
        const bend = (x0 + x1) / 2
        g.beginPath()
        g.moveTo(x0, y0)
        g.bezierCurveTo(bend, y0, bend, y1, x1, y1)
        g.stroke()
      }
    }
    this.pulses = this.pulses.filter(({ node, inward, who, start }) => {
      const way = (now - start) / FLIGHT
      if (way < 0) return true
      if (way > 1) return false
      g.fillStyle = this.colors[who]
      for (let tail = 0; tail < 5; tail++) {
        const t = way - tail * .035
        if (t < 0) break
        const { x, y } = point(node.curve, inward ? t : 1 - t)
        g.globalAlpha = 1 - tail * .2
        g.beginPath()
        g.arc(x, y, 4.5 - tail * .6, 0, 7)
        g.fill()
      }
      g.globalAlpha = 1
      return true
    })
    if (this.pulses.length) requestAnimationFrame(() => this.draw())
  }
}

function point ({ x0, y0, x1, y1 }, t) {
  const bend = (x0 + x1) / 2, u = 1 - t
  const at = (a, b, c, d) => u * u * u * a + 3 * u * u * t * b + 3 * u * t * t * c + t * t * t * d
  return { x: at(x0, bend, bend, x1), y: at(y0, y0, y1, y1) }
}

function nodes (id, list) {
  const parent = document.getElementById(id)
  return new Map(list.map(({ id, name, note }) => {
    const element = document.createElement('div'), label = document.createElement('span'), total = document.createElement('b')
    element.className = 'node'
    element.dataset.who = id
    label.textContent = name
    total.textContent = '0'
    element.append(label)
    if (note) element.append(Object.assign(document.createElement('i'), { textContent: note }))
    element.append(total)
    parent.append(element)
    return [id, { element, total, number: 0 }]
  }))
}
