// The page's only script. The server renders every piece; this fetches a piece again when something has happened and
// puts it in its place. Nothing of a message is ever made into HTML here.

const $ = (selector, root = document) => root.querySelector(selector)
const list = $('#list'), pane = $('#pane'), say = $('#status'), live = $('#live'), search = $('.search input')
const api = '/api/v1/messages'
const idle = pane.innerHTML // what the pane shows when nothing is open, if the page began so
const beganIdle = document.body.dataset.view === 'list'
let opening = 0 // counts what was asked for, so that a late answer does not replace a newer one

// Where we are: which message is open, which row is chosen.
const openID = () => $('article', pane)?.dataset.id
const rows = () => [...list.querySelectorAll('li[data-id]')]
const rowOf = id => id && list.querySelector(`li[data-id="${CSS.escape(id)}"]`)
const wide = () => matchMedia('(min-width: 801px)').matches

// Times are in the server's zone and words until they are put into the reader's.
function localise(root) {
  const today = new Date().toDateString()
  for (const time of root.querySelectorAll('time[datetime]')) {
    const at = new Date(time.dateTime)
    const near = at.toDateString() === today
    time.title = at.toLocaleString([], { dateStyle: 'full', timeStyle: 'medium' })
    if ('full' in time.dataset) continue
    time.textContent = 'long' in time.dataset
      ? at.toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' })
      : at.toLocaleString([], near ? { timeStyle: 'short' } : { day: 'numeric', month: 'short' })
  }
}

// What depends on both the list and the pane.
function settle() {
  for (const row of rows()) {
    if (row.dataset.id === openID()) row.setAttribute('aria-current', 'true')
    else row.removeAttribute('aria-current')
  }
  for (const button of document.querySelectorAll('[data-do]')) button.hidden = false
  const unread = Number($('.count', list)?.dataset.unread ?? 0)
  const subject = $('article h1', pane)?.textContent
  document.title = (unread ? `(${unread}) ` : '') + (subject ? subject + ' – ' : '') + 'postrider'
}

async function piece(url) {
  const answer = await fetch(url, { headers: { Accept: 'text/html' } })
  return { ok: answer.ok, html: await answer.text() }
}

// refresh fetches the list again. Calls while it is under way make one more round, so that a flood of mail costs a few
// requests a second and no more.
let busy = false, again = false
async function refresh() {
  again = true
  if (busy) return
  busy = true
  while (again) {
    again = false
    try {
      const answer = await piece('/list' + location.search)
      if (answer.ok) replaceList(answer.html)
    } catch { break } // the server is away; the stream's return brings us back here
    await new Promise(done => setTimeout(done, 150))
  }
  busy = false
}

function replaceList(html) {
  const before = new Set(rows().map(row => row.dataset.id))
  const focused = list.contains(document.activeElement) && document.activeElement.closest('li')?.dataset.id
  const top = list.scrollTop
  list.innerHTML = html
  list.scrollTop = top
  if (before.size) for (const row of rows()) row.classList.toggle('fresh', !before.has(row.dataset.id))
  if (focused) rowOf(focused)?.querySelector('a').focus({ preventScroll: true })
  // The first message ever takes the place of the words on how to send one.
  if (rows().length && !openID() && $('.art', pane)) piece('/').then(answer => {
    const fresh = new DOMParser().parseFromString(answer.html, 'text/html')
    if (!openID()) pane.innerHTML = $('#pane', fresh).innerHTML
  })
  localise(list)
  settle()
}

// show opens a message in the pane.
async function show(url, push = true) {
  const turn = ++opening
  const to = new URL(url, location)
  let answer
  try { answer = await piece(to.pathname + '/pane' + to.search) } catch { location = url; return }
  if (turn !== opening) return
  const other = openID() !== to.pathname.split('/')[2]
  const focused = !other && document.activeElement.closest?.('#pane a')?.getAttribute('href')
  pane.innerHTML = answer.html
  // Another view of the same message takes the place of the last, so that the way back leads to the list.
  if (push) history[other ? 'pushState' : 'replaceState'](null, '', url)
  document.body.dataset.view = 'message'
  if (other) {
    pane.scrollTop = 0
    if (!wide()) $('h1', pane)?.focus()
  } else if (focused) $(`a[href="${CSS.escape(focused)}"]`, pane)?.focus({ preventScroll: true })
  $('.shown', pane)?.scrollIntoView({ block: 'nearest' })
  localise(pane)
  settle()
  rowOf(openID())?.scrollIntoView({ block: 'nearest' })
  if ($('article', pane)?.dataset.unread === 'true') mark(openID(), false)
}

// home closes the message.
function home(push = true) {
  opening++
  const from = openID()
  if (push) history.pushState(null, '', '/' + queryOnly())
  document.body.dataset.view = 'list'
  if (beganIdle) pane.innerHTML = idle
  else piece('/').then(answer => { pane.innerHTML = $('#pane', new DOMParser().parseFromString(answer.html, 'text/html')).innerHTML })
  settle()
  rowOf(from)?.querySelector('a').focus()
}

const queryOnly = () => {
  const query = new URLSearchParams(location.search).get('query')
  return query ? '?' + new URLSearchParams({ query }) : ''
}

async function change(method, path, body) {
  const answer = await fetch(api + path, { method, body, headers: body && { 'Content-Type': 'application/json' } })
  if (!answer.ok) say.textContent = 'That did not work: ' + ((await answer.json().catch(() => null))?.error ?? answer.status)
  return answer.ok
}

async function mark(id, unread) {
  if (!id || !await change('PATCH', '/' + id, JSON.stringify({ unread }))) return
  rowOf(id)?.classList.toggle('unread', unread)
  if (openID() === id) $('article', pane).dataset.unread = unread
  if (unread) say.textContent = 'Marked unread'
}

async function remove(id) {
  if (!id) return
  const row = rowOf(id)
  const next = row?.nextElementSibling ?? row?.previousElementSibling
  if (!await change('DELETE', '/' + id)) return
  row?.remove()
  say.textContent = 'Deleted'
  if (openID() !== id) next?.querySelector('a').focus()
  else if (next && wide()) show(next.querySelector('a').href)
  else home()
}

async function empty() {
  const total = $('.count', list).dataset.total
  if (!confirm(total === '1' ? 'Delete the message?' : `Delete all ${total} messages?`)) return
  if (await change('DELETE', '?all=true')) location = '/'
}

// step goes to the row below or above.
function step(by) {
  const all = rows()
  const here = document.activeElement.closest?.('#list li')?.dataset.id ?? openID()
  const at = all.findIndex(row => row.dataset.id === here)
  const link = all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)]?.querySelector('a')
  if (!link) return
  link.focus()
  if (wide() || openID()) show(link.href)
}

const chosen = () => document.activeElement.closest?.('#list li')?.dataset.id ?? openID()

const keys = {
  j: () => step(1),
  k: () => step(-1),
  o: () => { const link = (rowOf(chosen()) ?? rows()[0])?.querySelector('a'); if (link) show(link.href) },
  u: () => home(),
  U: () => mark(chosen(), true),
  '#': () => remove(chosen()),
  '/': () => { document.body.dataset.view = 'list'; search.focus(); search.select() },
}

document.addEventListener('keydown', event => {
  if (event.key === 'Escape' && document.activeElement === search) search.blur()
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return
  const act = keys[event.key]
  if (!act) return
  event.preventDefault()
  act()
})

document.addEventListener('click', event => {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return
  const link = event.target.closest('a[data-open], a[data-home]')
  if (link) {
    event.preventDefault()
    if ('open' in link.dataset) show(link.href)
    else if (link.classList.contains('brand')) location = '/'
    else home()
    return
  }
  const button = event.target.closest('[data-do]')
  if (button) ({ delete: () => remove(openID()), unread: () => mark(openID(), true), empty })[button.dataset.do]()
})

window.addEventListener('popstate', () => {
  if (location.pathname.startsWith('/messages/')) show(location.href, false)
  else home(false)
  refresh()
})

// Search as it is typed; the form does it without a script.
let typing
search.addEventListener('input', () => {
  clearTimeout(typing)
  typing = setTimeout(() => {
    const query = search.value.trim()
    history.replaceState(null, '', location.pathname + (query ? '?' + new URLSearchParams({ query }) : ''))
    refresh()
  }, 120)
})

// New mail. The browser opens the stream again by itself when it breaks, and then everything is read anew.
const stream = new EventSource('/api/v1/events')
stream.onopen = () => { live.dataset.on = 'true'; refresh() } // what came while nobody listened
stream.onerror = () => { live.dataset.on = 'false' }
stream.addEventListener('message', event => {
  if (!event.data) return
  const m = JSON.parse(event.data)
  say.textContent = `New message from ${m.from[0]?.name || m.from[0]?.address || m.sender}: ${m.subject}`
  refresh()
})
for (const kind of ['update', 'delete', 'reset']) stream.addEventListener(kind, refresh)

localise(document)
settle()
if ($('article', pane)?.dataset.unread === 'true') mark(openID(), false)
