// The list: a window of rows onto all the messages that there are. What is not in the document is room: the links to the
// newer and the older messages are as tall as the rows that they stand for, so that the scrollbar shows where one is. Near
// an edge of the window the next page is fetched; far from it, where the scrollbar was dragged to, the page that lies
// there. The ends are exact, and how far it is to them is estimated in between, for nobody counts 100,000 messages to find
// the 70,000th: the server goes by time. No step costs more where there are more messages.

import { here, leaving, openID, retag, settle, welcome } from './page.js'

export const $ = (selector, root = document) => root.querySelector(selector)
export const list = $('#list')
const top = $('#top'), search = $('.search input')
const page = 50 // rows that are fetched at a time
const mostRows = 500 // in the document
const ahead = 1200 // pixels that are there before they are seen
const near = 400 // rows that are passed over one by one: beyond them the window goes elsewhere
const tallest = 12e6 // pixels: what is taller, browsers do not lay out

export const rows = () => [...list.querySelectorAll('li[data-id]')]
export const rowOf = id => id && list.querySelector(`li[data-id="${CSS.escape(id)}"]`)
export const query = () => new URLSearchParams(location.search).get('query')?.trim() ?? ''
export const withQuery = (more, of = query()) => { const p = new URLSearchParams({ ...(of && { query: of }), ...more }); return p.size ? '?' + p : '' }
export const parse = html => new DOMParser().parseFromString(html, 'text/html')
const newer = (root = list) => $('a.newer', root), older = (root = list) => $('a.older', root)
const idOf = row => row.dataset.id

const sleep = ms => new Promise(done => setTimeout(done, ms))

// A server that has not answered by then will not: what waits behind the request goes on.
export const patience = () => AbortSignal.timeout(20000)

export async function piece(url) {
  const answer = await fetch(url, { headers: { Accept: 'text/html' }, signal: patience() })
  return { ok: answer.ok, html: await answer.text() }
}

// once makes a function that is not called again while it is under way: calls meanwhile make one more round, so that a
// flood of mail costs a few requests a second and no more. What fails is tried again a few times; after that the next
// call does, or the stream's return.
export function once(work, pause = 120) {
  let busy = false, again = false
  return async () => {
    again = true
    if (busy) return
    busy = true
    for (let failed = 0; again;) {
      again = false
      try { await work(); failed = 0 } catch { again = ++failed < 4 || again }
      await sleep(failed ? 1000 : pause)
    }
    busy = false
  }
}

// What changes the window waits for what is under way: each starts from the rows that are there when it is its turn, and
// none brings back a window that another has left.
let last = Promise.resolve()
const deleted = new Set() // during this turn: an answer that was on its way may still have them
function inTurn(work) {
  const turn = last.then(() => { deleted.clear(); return work() })
  last = turn.catch(() => {}) // told to whoever waits for it
  return turn
}

// Times are in the server's zone and words until they are put into the reader's.
export function localise(root) {
  const now = new Date()
  for (const time of root.querySelectorAll('time')) {
    const at = new Date(time.dateTime)
    time.title = at.toLocaleString([], { dateStyle: 'full', timeStyle: 'medium' })
    if ('full' in time.dataset) continue
    time.textContent = at.toLocaleString([], 'long' in time.dataset ? { dateStyle: 'medium', timeStyle: 'short' }
      : at.toDateString() === now.toDateString() ? { timeStyle: 'short' } : { day: 'numeric', month: 'short', year: at.getFullYear() === now.getFullYear() ? undefined : 'numeric' })
  }
}

// What the rows answer. What is searched for may be another thing already: until the list has been read anew, all that is
// asked about the window is asked in its own words.
let listed = query()
const ofWindow = more => withQuery(more, listed)

// Where the window is: so many rows are before it, of so many in all. Both are estimates except at the ends.
let before = 0, total = 0
const tall = () => rows()[0]?.offsetHeight || 87
const room = () => Math.min(tall(), tallest / Math.max(total, 1)) // pixels of a row that is not there
const foot = () => list.scrollHeight - list.clientHeight

// measure makes the links as tall as what they stand for. At an end of the list the estimate becomes exact.
function measure() {
  const n = rows().length
  // While there is a link there is at least something behind it; less than a page would be asked for in vain.
  before = newer() ? Math.max(before, page) : 0
  total = older() ? Math.max(total, before + n + page) : before + n
  if (newer()) newer().style.height = `${before * room()}px`
  if (older()) older().style.height = `${(total - before - n) * room()}px`
}

// steady changes the list and keeps what the reader looks at where it is. At the very top that is the newest, whichever it is.
function steady(change) {
  const seen = list.scrollTop > 0 && rows().filter(row => row.offsetTop + row.offsetHeight > list.scrollTop)
  const places = seen && seen.slice(0, page).map(row => [row, row.offsetTop])
  change()
  measure()
  // The first that is still there: what the eye is on may have been deleted.
  const [row, was] = places?.find?.(([row]) => row.isConnected) ?? []
  if (row && row.offsetTop !== was) list.scrollTop += row.offsetTop - was
}

// trim lets go of rows that are too many, at one end.
function trim(atTop) {
  const all = rows(), extra = all.length - mostRows
  if (extra <= 0) return
  for (const row of atTop ? all.slice(0, extra) : all.slice(-extra)) row.remove()
  // Below, the total still counts them: they are room again.
  if (atTop) before += extra
  link(atTop ? 'newer' : 'older')
}

// link puts a link at one end of the window, to what is beyond it.
function link(where) {
  const ends = rows()
  const href = where === 'newer' ? './' + ofWindow({ order: 'oldest', after: idOf(ends[0]) }) : './' + ofWindow({ before: idOf(ends.at(-1)) })
  const a = $('a.' + where, list) ?? Object.assign(document.createElement('a'), { className: 'more ' + where, textContent: where === 'newer' ? 'Newer messages' : 'Older messages' })
  a.href = href
  if (!a.isConnected) where === 'newer' ? $('.rows', list).before(a) : $('.rows', list).after(a)
}

// extend appends the page behind the window or puts the one before it above it.
async function extend(where, want) {
  const edge = $('a.' + where, list)
  const url = new URL(edge.href)
  url.searchParams.set('limit', Math.min(Math.max(page, Math.ceil(want)), 1000)) // a part of a row is one more
  const answer = await piece('list' + url.search)
  if (!answer.ok) return false
  const fresh = parse(answer.html), got = fresh.querySelectorAll('li[data-id]')
  // The counts first: how tall the room is goes by them.
  recount(fresh)
  steady(() => {
    if (where === 'older') $('.rows', list).append(...got)
    else { $('.rows', list).prepend(...got); before -= got.length }
    if ($('a.' + where, fresh)) link(where)
    else edge.remove()
    trim(where === 'older')
    adopt(list)
  })
  return true
}

// jump puts the window where a part of all messages is before it: 0 is the newest, 1 the oldest. What is known of the
// rows that are there bounds where it looks: below them there is nothing newer.
async function jump(to) {
  const all = rows(), index = Math.round(to * total), n = all.length
  const where = to <= 0 ? {} : to >= 1 ? { order: 'oldest' }
    // Between two ids whose times are known the server goes by time, so that a step costs the same wherever it leads.
    : index < before ? { after: idOf(all[0]), skip: index / before } : { before: idOf(all.at(-1)), skip: (index - before - n) / (total - before - n) }
  const answer = await piece('list' + ofWindow(where))
  if (!answer.ok) return false
  put(parse(answer.html), to >= 1 ? Infinity : index)
  return true
}

// put makes a fresh list the window, with so many messages before it. The focus stays with its message.
function put(fresh, index = 0) {
  // Remembered before the rows go: the browser drops the focus with its element, and the place with the height.
  const was = list.scrollTop, focus = document.activeElement, focused = list.contains(focus) && focus.closest('li')
  recount(fresh)
  list.replaceChildren(...fresh.body.childNodes)
  before = Math.min(index, total - rows().length)
  measure()
  adopt(list)
  list.scrollTop = was
  if (focused) refocus(rowOf(idOf(focused)), focus)
}

// refocus gives a row that was drawn anew what the old one had.
const refocus = (row, focus) => $(focus.matches('.pick') ? '.pick' : 'a', row ?? new DocumentFragment())?.focus({ preventScroll: true })

// fill fetches what the view lacks, until it lacks nothing.
export const fill = once(async () => { while (await inTurn(lacking)); }, 0) // who scrolls waits for no more than the server
async function lacking() {
  const all = rows(), from = list.scrollTop, to = from + list.clientHeight
  // Without a height nothing is seen: on a phone the message lies over the list.
  if (!all.length || !list.clientHeight) return !all.length && older() ? extend('older', page) : false // all that were there are deleted
  const first = all[0].offsetTop, last = all.at(-1).offsetTop + tall()
  const above = (first - from) / room(), below = (to - last) / room() // rows that are missing
  // In this order: an end is exact and cheap; what is far is gone to in one step; what is near is passed over page by
  // page, below first, for that is where readers go.
  if (newer() && from <= 0 && above > near || older() && from >= foot() - 1 && below > near) return jump(from <= 0 ? 0 : 1)
  if (newer() && above > near) return jump(from / room() / total)
  if (older() && below > near) return jump(Math.min((before + all.length + (from - last) / room()) / total, 1))
  if (older() && to + ahead > last) return extend('older', below + page)
  if (newer() && from - ahead < first) return extend('newer', above + page)
  return false
}
list.addEventListener('scroll', fill, { passive: true })
addEventListener('resize', fill) // a taller window sees more

// end goes to the newest message or to the oldest, and stays there.
export const end = oldest => inTurn(async () => {
  if (!rows().length) return
  if (oldest ? older() : newer()) await jump(oldest ? 1 : 0).catch(() => {})
  list.scrollTop = oldest ? foot() : 0
  rows().at(oldest ? -1 : 0)?.querySelector('a').focus({ preventScroll: true })
})

// neighbour is the row that is so many below or above; at the window's edge it is waited for.
export async function neighbour(by) {
  for (let tries = 0; ; tries++) {
    const all = rows(), at = all.findIndex(row => idOf(row) === here())
    // Who has scrolled away goes on from what is seen.
    if (at < 0) return all.find(row => row.offsetTop >= list.scrollTop) ?? all[0]
    const row = all[at + by], beyond = by > 0 ? 'older' : 'newer'
    if (row || tries || !$('a.' + beyond, list)) return row ?? all.at(by > 0 ? -1 : 0)
    const edge = () => rows().at(by > 0 ? -1 : 0)?.dataset.id, was = edge() // not the row itself: it may be drawn anew
    // Keys that are pressed meanwhile wait behind this, and find the rows that it has brought.
    await inTurn(async () => { if (edge() === was && $('a.' + beyond, list)) await extend(beyond, page) }).catch(() => {})
  }
}

// reload fetches the list anew: the rows of the window, or with another query the newest. What has been typed meanwhile
// has asked for a list of its own, and this one is of no use any more.
let renewed = 0, seen = 0 // how often a list from the newest on was asked for, and which of these is shown
export const reload = once(() => inTurn(async () => {
  const wanted = query(), turn = renewed, another = wanted !== listed || turn !== seen
  const held = !another && newer() && rows()[0]
  if (another) list.ariaBusy = 'true'
  const limit = another ? page : Math.min(Math.max(rows().length, page), 1000)
  const answer = await piece('list' + withQuery({ limit, ...(held && { before: idOf(held) }) }, wanted))
  const fresh = parse(answer.html)
  // A window that is elsewhere stays there, from its first row on.
  if (held && $('.rows', fresh)) { // the first row itself is not before it
    const one = await piece(`messages/${idOf(held)}/row${withQuery({}, wanted)}`)
    const row = one.ok && $('li', parse(one.html))
    if (row) $('.rows', fresh).prepend(row)
  }
  // What cannot be read may be half written: the list stays for a moment.
  for (let n = 0; !answer.ok && n < 8 && query() === wanted; n++) await sleep(100)
  if (query() !== wanted) return
  if (answer.ok && !another && redrawn(fresh)) { recount(fresh); measure(); return }
  list.ariaBusy = null
  if (another) list.scrollTop = 0
  put(fresh, held ? before : 0)
  listed = wanted
  seen = turn
  search.toggleAttribute('aria-invalid', !answer.ok)
  welcome()
  fill()
}))

// renew is reload for a list from the newest on, whatever is shown.
export function renew() {
  renewed++
  reload()
}

// recount takes the counts out of a fresh list: they stand above it.
function recount(fresh) {
  const focused = top.contains(document.activeElement) && document.activeElement.dataset?.find
  const counts = $('.count', fresh)
  total = Number(counts.dataset.total)
  $('.count', top).replaceWith(counts)
  if (typeof focused === 'string') $(`[data-find="${CSS.escape(focused)}"]`, counts)?.focus()
}

// arrived puts what is newer than the first row above it. In a window that is elsewhere only the counts change.
export const arrived = once(() => inTurn(async () => {
  const first = rows()[0]
  if (!first) return void reload()
  if (newer()) return void counted()
  const answer = await piece('list' + ofWindow({ after: idOf(first) }))
  const fresh = parse(answer.html)
  // In a flood the newest page is all that is wanted; fetching what lies between would go on for ever.
  if (!answer.ok || older(fresh)) return void reload() // more than a page of them
  recount(fresh)
  const got = fresh.querySelectorAll('li[data-id]')
  for (const row of got) row.classList.add('fresh')
  steady(() => {
    $('.rows', list).prepend(...got)
    trim(false)
    adopt(list)
  })
}))

// redrawn tells whether a fresh list has the messages that are there. Only rows that have changed are drawn anew then: one
// that is being clicked on must not go away under the pointer.
const raw = new WeakMap() // rows as the server wrote them
function redrawn(fresh) {
  const now = rows(), then = [...fresh.querySelectorAll('li[data-id]')]
  if (!now.length || now.length !== then.length || now.some((row, i) => row.id !== then[i].id) || !older() !== !older(fresh)) return false
  now.forEach((row, i) => { if (raw.get(row) !== then[i].outerHTML) redraw(row, then[i]) })
  adopt(list)
  return true
}

function redraw(row, fresh) {
  const focus = document.activeElement, focused = row.contains(focus)
  row.replaceWith(fresh)
  if (focused) refocus(fresh, focus)
}

// adopt makes rows that came from the server part of the page.
function adopt(root) {
  for (const row of root.querySelectorAll('li[data-id]')) {
    if (raw.has(row)) continue
    raw.set(row, row.outerHTML)
    localise(row)
    if (leaving.has(idOf(row)) || deleted.has(idOf(row))) row.remove()
  }
  settle()
}

// changed fetches one row again.
export const changed = id => inTurn(async () => {
  counted() // whether its row is here or not
  const answer = (rowOf(id) || id === openID()) && await piece(`messages/${id}/row${ofWindow()}`)
  if (!answer?.ok) return
  const fresh = parse(answer.html), row = rowOf(id)
  retag(fresh)
  if (!row) return
  redraw(row, $('li', fresh))
  adopt(list)
}).catch(() => {}) // the server is away

// gone takes rows away, at once.
export function gone(...ids) {
  for (const id of ids) deleted.add(id)
  steady(() => {
    for (const id of ids) rowOf(id)?.remove()
  })
  settle()
  fill()
}

// counted fetches the numbers above the list.
export const counted = once(() => inTurn(async () => {
  const first = rows()[0]
  if (!first) return void reload()
  recount(parse((await piece('list' + ofWindow({ after: idOf(first), limit: 1 }))).html))
  measure()
  settle()
}))

// begin makes what the server rendered the window.
export function begin() {
  total = Number($('.count', top).dataset.total)
  before = !newer() ? 0 : older() ? page : total
  before = Math.max(0, Math.min(before, total - rows().length))
  adopt(document) // as the server wrote them: before their times are put into the reader's words
  localise(document)
  measure()
  if (newer() && rows().length) list.scrollTop = rows()[0].offsetTop
  fill()
}
