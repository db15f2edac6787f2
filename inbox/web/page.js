// The page's script. The server renders every piece; this fetches a piece again when something has happened and puts it in
// its place. Nothing of a message is ever made into HTML here. The list, forms and settings have files of their own.

import { $, arrived, begin, changed, counted, end, gone, list, localise, neighbour, once, parse, patience, piece, query, reload, renew, rowOf, rows, withQuery } from './list.js'
import { dropped, empty, links, misbehave, readAll, release, tag, tagAll } from './forms.js'
import { look, looked, notify, setting, settings } from './settings.js'

export const pane = $('#pane')
const side = $('#side'), top = $('#top'), places = $('#places'), say = $('#status'), live = $('#live'), search = $('.search input')
const toast = $('#toast'), picking = $('#picking')
export const api = 'api/v1/messages'
export const failed = 'That did not work: ', away = 'the server does not answer'
let idle = document.body.dataset.view === 'list' && rows().length && pane.innerHTML // what the pane shows when nothing is open, if it is known
let opening = 0 // counts what was asked for, so that a late answer does not replace a newer one
let choices = 0 // counts where the reader went by name, so that a step that is still waiting does not lead on from there

// Where we are: which message is open, which row has the focus, which are picked.
const picked = new Set()
export const leaving = new Set() // deleted on the page, and soon on the server
export const openID = () => $('article', pane)?.dataset.id
export const here = () => document.activeElement.closest?.('#list li')?.dataset.id ?? openID()
export const subjects = () => picked.size ? [...picked] : [here()].filter(Boolean) // what an action is about
const wide = () => matchMedia('(width > 50em)').matches

// What depends on list, pane and what is picked. Pieces are fetched apart; this is the one place that makes them agree, and
// it may be called at any time.
export function settle() {
  // What is not to be seen is not acted on: nobody deletes a message that has scrolled out of the window's rows.
  for (const id of picked) if (!rowOf(id)) picked.delete(id)
  for (const row of rows()) {
    if (row.dataset.id === openID()) row.setAttribute('aria-current', 'true')
    else row.removeAttribute('aria-current')
    row.classList.toggle('picked', picked.has(row.dataset.id))
    $('.pick', row).checked = picked.has(row.dataset.id)
  }
  // The server writes hidden what does nothing without this script.
  for (const hidden of document.querySelectorAll('[data-do][hidden], .pick[hidden], #places[hidden]')) hidden.hidden = false
  $('.skip').href = location.pathname + location.search + '#pane' // a bare #pane is one of the list's page, which is the base
  picking.hidden = !picked.size
  side.classList.toggle('picking', picked.size > 0)
  $('b', picking).textContent = picked.size
  const unread = Number($('.count', top)?.dataset.unread ?? 0)
  const subject = $('article h1', pane)?.textContent
  document.title = (unread ? `(${unread}) ` : '') + (subject ? subject + ' – ' : '') + 'postrider'
}

// opened fills the menu beside the list, for what is in it takes counting.
let counting = 0
async function opened() {
  const turn = ++counting
  if (!places.open) return
  const answer = await piece('places' + withQuery()).catch(() => null)
  if (!answer?.ok || turn !== counting) return
  $('div', places).innerHTML = answer.html
  settle()
  $('button, a', $('div', places))?.focus()
}

// The first message ever takes the place of the words on how to send one.
export function welcome() {
  if (rows().length && $('.art', pane)) rest()
}

// rest shows what stands beside the list while nothing is open; whether there is mail decides what that is.
async function rest() {
  const turn = opening
  if (!idle || !rows().length) {
    const answer = await piece('./').catch(() => null)
    const fresh = answer?.ok && $('#pane', parse(answer.html))
    if (!fresh || turn !== opening) return
    idle = $('.art', fresh) ? null : fresh.innerHTML
    pane.innerHTML = fresh.innerHTML
  } else pane.innerHTML = idle
}

// show opens a message, or another pane, beside the list.
export async function show(url, push = true) {
  const turn = ++opening
  pane.ariaBusy = 'true'
  const answer = await piece(look(searched(url)).href.replace(/(\?|$)/, '/pane$1')).catch(() => null)
  if (turn !== opening) return
  pane.ariaBusy = null
  if (!answer) return tell(failed + away)
  // Asked once more: the reader may have typed on while the server answered.
  const to = searched(url)
  const id = to.pathname.match(/\/messages\/([^/]+)/)?.[1]
  const other = !id || openID() !== id
  const focused = !other && document.activeElement.closest?.('#pane a')?.getAttribute('href')
  pane.innerHTML = answer.html
  const draft = drafts.get(address(to))
  if (draft) $('#compose', pane)?.replaceWith(draft)
  // Another view of the same message takes the place of the last, so that the way back leads to the list.
  if (push) history[other ? 'pushState' : 'replaceState'](null, '', to)
  document.body.dataset.view = 'message'
  // The focus goes where reading goes on: on a phone to the message, which has taken the list's place; beside the list it
  // stays in the list, where j and k are; within a message on the tab that was pressed.
  if (other) {
    pane.scrollTop = 0
    if (!wide()) $('h1', pane)?.focus()
  } else if (focused) $(`a[href="${CSS.escape(focused)}"]`, pane)?.focus({ preventScroll: true })
  prepare()
  $('.shown, .source .found', pane)?.scrollIntoView({ block: 'nearest' })
  focusForm()
  localise(pane)
  settle()
  rowOf(openID())?.scrollIntoView({ block: 'nearest' })
  // Here, and not by the GET that fetched it: a request that only looks must not change anything (RFC 9110, 9.2.1).
  if ($('article', pane)?.dataset.unread === 'true') mark([openID()], false)
}

// searched is a URL with what is searched for now: a link may have been written before.
function searched(url, words = query()) {
  const to = new URL(url, document.baseURI)
  if (words) to.searchParams.set('query', words)
  else to.searchParams.delete('query')
  return to
}

// What is being written, by where its form is: it comes back there until it is sent or cancelled.
export const drafts = new Map()
const address = url => searched(url, '').href
pane.addEventListener('input', ({ target: { form } }) => { if (form?.id === 'compose') drafts.set(form.dataset.draft = address(location), form) })

// The browser's own autofocus comes a frame late: the reader may be elsewhere.
const focusForm = () => $('[data-focus]', pane)?.focus()

// prepare sees to what only the browser can tell: whether the tab is off a narrow screen,
// and whether it shows PDF.
function prepare() {
  $('.tabs [aria-current]', pane)?.scrollIntoView({ block: 'nearest', inline: 'center' })
  const pdf = !navigator.pdfViewerEnabled && $('.pdf', pane)
  if (!pdf) return
  pdf.remove()
  $('.nopdf', pane).hidden = false
}

// home closes the message.
export function home(push = true) {
  opening++
  choices++
  pane.ariaBusy = null
  const from = openID()
  if (push) history.pushState(null, '', './' + withQuery())
  document.body.dataset.view = 'list'
  pane.replaceChildren()
  rest()
  settle()
  rowOf(from)?.querySelector('a').focus()
}

// ask sends a change to the server; what it refuses is told.
export async function ask(method, path, body, more) {
  // What is sent on, or done to all that a query finds, takes as long as it takes.
  const signal = method === 'POST' || path.includes('?') ? null : patience()
  const answer = await fetch(path, { method, signal, body: body && JSON.stringify(body), headers: body && { 'Content-Type': 'application/json' }, ...more }).catch(() => null)
  // Some recipients may have been refused: then the status is 502, and the results are what the reader wants to see.
  const said = await answer?.json().catch(() => null)
  if (answer?.ok || said?.results) return said ?? true
  tell(failed + (said?.error ?? answer?.status ?? away))
}

// retag puts the tags that came with a row above its message, if that is open: another window may have changed them.
export const retag = row => { if ($('li', row).dataset.id === openID()) $('.tags', pane).replaceWith($('.tags', row)) }

// mark marks them on the page as soon as the server has: the event that tells of it draws the rows anew a moment later.
// One after the other: who opens a message and marks it unread at once wants the second.
let marking = Promise.resolve()
const mark = (ids, unread) => { marking = marking.then(() => marked(ids, unread)) }
async function marked(ids, unread) {
  const done = await Promise.all(ids.map(id => ask('PATCH', `${api}/${id}`, { unread })))
  ids.forEach((id, i) => {
    if (!done[i]) return
    rowOf(id)?.classList.toggle('unread', unread)
    if (openID() === id) $('article', pane).dataset.unread = unread
  })
  if (unread) say.textContent = 'Marked unread'
}

// tell shows a line for a while, with something to do about it.
let telling
export function tell(text, act) {
  clearTimeout(telling)
  $('span', toast).textContent = text
  $('button', toast).hidden = !act
  toast.hidden = false
  $('button', toast).onclick = () => { toast.hidden = true; act() }
  telling = setTimeout(() => { toast.hidden = true }, act ? 6500 : 9000)
}

// remove takes messages off the page at once and off the server a little later: till then it can be undone. Whoever leaves
// the page has decided.
let finish = null
function remove(ids) {
  if (!ids.length) return
  // One thing can be undone at a time: the one before is decided by this.
  finish?.()
  const at = rowOf(ids.at(-1))
  let next = at?.nextElementSibling
  while (next && ids.includes(next.dataset.id)) next = next.nextElementSibling
  // None below: the last that stays, so that the keys go on from there. One that is not listed has no next.
  if (at) next ??= rows().filter(row => !ids.includes(row.dataset.id)).at(-1)
  // From here they are not drawn again, whatever list comes, until the server has deleted them or the reader undoes it.
  for (const id of ids) { leaving.add(id); picked.delete(id) }
  gone(...ids)
  const timer = setTimeout(() => finish?.(), 6000)
  const undo = () => {
    // The request may have gone out while the hand was on its way to the button.
    if (finish !== end) return tell('Too late: the server has deleted it.')
    clearTimeout(timer)
    finish = undoLast = null
    toast.hidden = true
    for (const id of ids) leaving.delete(id)
    say.textContent = 'Nothing was deleted'
    reload()
  }
  const end = finish = async () => {
    clearTimeout(timer)
    finish = null
    // All at once: a page that is left sends no second request.
    const done = await Promise.all(ids.map(id => ask('DELETE', `${api}/${id}`, undefined, { keepalive: true })))
    for (const id of ids) leaving.delete(id)
    if (done.every(Boolean)) counted()
    else reload() // what is still there comes back
  }
  tell(ids.length === 1 ? 'Deleted.' : `${ids.length} messages deleted.`, undo)
  undoLast = undo
  settle()
  if (ids.includes(openID())) { if (next && wide()) show($('a', next).href); else home() }
  else next?.querySelector('a').focus()
}
let undoLast = null
addEventListener('pagehide', () => finish?.())

// pick picks a message or lets go of it. Who picks none has pressed a key where there is no row.
function pick(id, on = !picked.has(id)) {
  if (!id) return
  if (on) picked.add(id)
  else picked.delete(id)
  settle()
}

// pickTo picks all rows from the last that was picked to this one.
let lastPick
// What was picked before stays: a range is added to it, as everywhere.
function pickTo(id) {
  const ids = rows().map(row => row.dataset.id)
  if (!ids.includes(id)) return
  const [a, b] = [ids.indexOf(lastPick), ids.indexOf(id)].sort((x, y) => x - y)
  for (const each of a < 0 ? [id] : ids.slice(a, b + 1)) picked.add(each)
  settle()
}

// step goes to the row below or above. Beside the list it opens it too; on a phone, where the message would lie over the
// list, only from one message to the next.
async function step(by) {
  const from = choices
  const link = (await neighbour(by))?.querySelector('a')
  if (!link || from !== choices) return
  link.focus()
  if ((wide() || openID()) && !picked.size) show(link.href)
}

// Keys that are links: what they lead to is in the message, with its own id.
const follow = link => link && show(link.href)
const acts = {
  delete: () => remove(subjects()), release, links, wellbehaved: () => misbehave([]), unread: () => mark(subjects(), true), read: () => mark(subjects(), false), tag, empty, readAll, tagAll,
  clear: () => { picked.clear(); settle() }, all: () => { for (const row of rows()) picked.add(row.dataset.id); settle() },
  example: button => { const rules = $('[name=rules]', pane); rules.value = rules.value.trimEnd() + (rules.value.trim() && '\n') + button.innerText + '\n'; rules.focus() },
  // Not by the clipboard's own interface, which is there only where a page is secure.
  copy: (code = $('[data-do=copy]', pane)) => { if (code) { getSelection().selectAllChildren(code); tell(document.execCommand('copy') ? 'Copied.' : 'This browser does not copy.') } },
  keys: () => $('#keys').showModal(), previous: () => step(-1), next: () => step(1), choose: () => $('#eml').click(),
  settings: () => settings(() => { if ($('iframe.body', pane)) show(plain(), false) }),
}
const atList = () => location.pathname === new URL(document.baseURI).pathname
// plain is the URL of the open message without the way it is looked at.
const plain = () => location.pathname + withQuery()
// What each key does. The sheet (?) names them all, and a test holds the two against each other.
const keys = {
  j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
  g: () => end(false), Home: () => end(false), G: () => end(true), End: () => end(true),
  o: () => follow((rowOf(here()) ?? rows()[0])?.querySelector('a')),
  u: () => home(), x: () => { if (!rowOf(here())) rows()[0]?.querySelector('a').focus(); lastPick = here(); pick(lastPick) }, X: () => pickTo(here()), '*': acts.all, Escape: () => { if (picked.size || !openID()) acts.clear(); else home() },
  U: acts.unread, I: acts.read, '#': acts.delete, Delete: acts.delete, z: () => { if (!toast.hidden) undoLast?.() }, t: tag,
  '/': () => { document.body.dataset.view = 'list'; search.focus(); search.select() }, '?': acts.keys,
  A: readAll, m: () => { places.open = true }, ',': acts.settings,
  y: () => acts.copy(), c: () => show('compose'), f: () => show('faults'), r: () => follow($('[data-key=r]', pane)), w: () => follow($('[data-key=w]', pane)),
}
for (let n = 1; n <= 9; n++) keys[n] = () => follow(pane.querySelectorAll('.tabs a')[n - 1])

// close closes a menu. Who was in it goes on from its button: what had the focus is hidden with it.
function close(menu, inside) {
  menu.open = false
  if (inside) $('summary', menu).focus()
}

document.addEventListener('keydown', event => {
  const menu = event.key === 'Escape' && $('.menu[open]')
  if (menu) { close(menu, true); return }
  // Who writes gets the keys back by it.
  if (event.key === 'Escape' && event.target.matches('.search input, #pane :is(input, textarea)')) { event.target.blur(); return }
  const items = event.key.startsWith('Arrow') && event.target.closest?.('.menu[open]')?.querySelectorAll('div a, div button')
  if (items) {
    event.preventDefault()
    items[([...items].indexOf(event.target) + (event.key === 'ArrowDown' ? 1 : -1) + items.length) % items.length].focus()
    return
  }
  // Letters belong to whoever writes, and to the dialog that is open; with Ctrl they are the browser's.
  if (event.ctrlKey || event.metaKey || event.altKey || /^(TEXTAREA|SELECT)$/.test(event.target.tagName) || $('dialog[open]')) return
  if (event.target.tagName === 'INPUT' && event.target.type !== 'checkbox') return
  const act = keys[event.key]
  // Where something else scrolls, or a menu is open, the keys that every page has do what they always do.
  if (!act || /^(Arrow|Home|End)/.test(event.key) && !list.contains(document.activeElement)) return
  event.preventDefault()
  act()
})

// One listener for the whole page: what is drawn anew needs none of its own. What opens in another tab is the browser's.
document.addEventListener('click', event => {
  if (event.button || event.ctrlKey || event.metaKey || event.altKey) return
  if (event.target.matches('.pick')) {
    const { id } = event.target.closest('li').dataset
    if (event.shiftKey) pickTo(id)
    else pick(id, event.target.checked)
    lastPick = id
    return
  }
  const menu = $('.menu[open]')
  if (menu && !event.target.closest('summary')) close(menu, menu.contains(event.target))
  const link = event.target.closest('a[data-open], a[data-home], a[data-find], a.newer, a.older')
  if (link && !event.shiftKey) {
    event.preventDefault()
    if ('find' in link.dataset) { search.value = link.dataset.find; find() }
    else if ('open' in link.dataset) { choices++; if (link.closest('.choices')) looked(new URL(link.href)); show(link.href) }
    // Scrolled rather than followed: what is seen then is fetched as if the reader had scrolled.
    else if (link.matches('.more')) list.scrollTop += link.matches('.older') ? list.clientHeight : -list.clientHeight
    else if (link.classList.contains('brand')) location = document.baseURI
    else { drafts.delete(link.closest('form')?.dataset.draft); home() }
    return
  }
  const button = event.target.closest('[data-do]')
  if (button) acts[button.dataset.do]?.(button)
})

addEventListener('popstate', () => {
  // The address has changed already: everything is brought to where it is now, and nothing is written to the history.
  search.value = query()
  choices++
  if (atList()) home(false)
  else show(location.href, false)
  reload()
})

// Search as it is typed, at once and then as often as the server answers; the form does it without a script.
search.addEventListener('input', once(async () => find(), 60))

// Who presses Enter is done with typing: the keys are the list's again, and a phone takes its keyboard away.
search.form.addEventListener('submit', event => {
  event.preventDefault()
  find()
  search.blur()
})

// find searches for what is typed. The address says so at once, and each letter is no step on the way back. The message
// that is open stays, in the view that it has.
function find() {
  history.replaceState(null, '', searched(atList() ? './' : location, search.value.trim()))
  renew()
}

// New mail. The browser opens a stream again by itself when it breaks, but not where a proxy has answered for a server that
// is away. Each time everything is read anew: nobody listened meanwhile.
let stream, wait = 1000
function listen() {
  stream?.close()
  stream = new EventSource('api/v1/events')
  const on = (kind, act) => stream.addEventListener(kind, event => act(JSON.parse(event.data)))
  const state = on => { live.dataset.on = on; live.textContent = on ? 'live' : 'offline'; live.classList.toggle('badge', !on) }
  stream.onopen = () => { state(true); reload(); wait = 1000 }
  // Ever less often: each may ask for a password.
  stream.onerror = () => { state(false); if (stream.readyState === 2) setTimeout(listen, Math.min(wait *= 2, 60000)) }
  on('message', m => {
    notify(m, id => show('messages/' + id))
    say.textContent = `New message from ${m.from[0]?.name || m.from[0]?.address || m.sender}: ${m.subject}`
    arrived()
  })
  on('update', m => changed(m.id))
  on('delete', ({ id }) => {
    if (id === openID() && !leaving.has(id)) tell('The message that is open has been deleted.')
    gone(id)
    counted()
  })
  on('reset', reload)
}
listen()
// A machine that has slept may hold a stream that is dead, and not know.
document.addEventListener('visibilitychange', () => { if (!document.hidden) listen() })

begin()
prepare()
focusForm()
dropped()
places.ontoggle = opened
addEventListener('resize', prepare) // who turns a phone looks at the same tab
// A message that was opened by its link is looked at as the last one was.
if ($('iframe.body', pane) && !new URLSearchParams(location.search).has('view') && ['width', 'scheme', 'images'].some(setting)) show(location.href, false)
if ($('article', pane)?.dataset.unread === 'true') mark([openID()], false)
