// What a person makes or changes by a form or a dialog. It goes the way of programs: as JSON.

import { $, parse, piece, query, withQuery } from './list.js'
import { api, ask, away, drafts, failed, home, openID, pane, show, subjects, tell } from './page.js'
import { remember, setting } from './settings.js'

// asked opens a dialog and says whether it was answered with yes. What was answered the last time is forgotten first: Esc
// closes a dialog without an answer.
function asked(dialog) {
  dialog.returnValue = ''
  dialog.showModal()
  return new Promise(done => { dialog.onclose = () => done(dialog.returnValue === 'ok') })
}

// Tags: those of one message are changed, to several one is added.
export async function tag() {
  const ids = subjects()
  if (!ids.length) return
  // As the server has them: those on the page may be older.
  const one = ids.length === 1 ? await ask('GET', `${api}/${ids[0]}`) : { tags: [] }
  const typed = one && await tagsTyped(one.tags)
  if (!typed) return
  for (const id of ids) await ask('PATCH', `${api}/${id}`, ids.length === 1 ? { tags: typed } : { tag: typed })
}

// tagsTyped asks for tags, with commas between; false if it was left without an answer, and none is an answer.
async function tagsTyped(tags) {
  const dialog = $('#tagging'), input = $('input', dialog)
  input.value = tags.join(', ')
  return await asked(dialog) && input.value.split(',').map(t => t.trim()).filter(Boolean)
}

// All that is found, whether it is listed or not: everything if nothing is searched for.
const found = () => api + (query() ? withQuery() : '?all=true')
const count = n => n === 1 ? '1 message' : `${n} messages`

// readAll does not ask: what it does can be undone by hand, and loses nothing.
export async function readAll() {
  const done = await ask('PATCH', found(), { unread: false })
  if (done) tell(done.updated ? `${count(done.updated)} marked read.` : 'All of them were read.')
}

// What was found when it was asked is what is meant, wherever the way back has led meanwhile.
export async function tagAll() {
  const all = found(), typed = await tagsTyped([])
  const done = typed?.length && await ask('PATCH', all, { tag: typed })
  if (done) tell(`${count(done.updated)} tagged.`)
}

// empty asks, for there is no way back; and says what it is about, since it may be more than is listed.
export async function empty() {
  const dialog = $('#sure'), all = found()
  $('h2', dialog).textContent = query() ? `Delete all that “${query()}” finds?` : 'Delete all messages?'
  if (!await asked(dialog)) return
  const done = await ask('DELETE', all)
  if (!done) return
  tell(`${count(done.deleted)} deleted.`)
  home()
}

// take puts .eml files into the inbox, one after the other: a folder of them need not be in memory at once. What else lies
// in a folder is passed over, and said.
export async function take(files) {
  let taken = 0
  const others = []
  for (const file of files) {
    if (!/\.eml$/i.test(file.name) && file.type !== 'message/rfc822') { others.push(file.name); continue }
    if (!await ask('POST', api, undefined, { body: file, headers: { 'Content-Type': 'message/rfc822' } })) return
    taken++
  }
  const passed = others.length > 1 ? `${others.length} are no .eml files.` : others.length && `${others[0]} is no .eml file.`
  tell([taken && `${count(taken)} imported.`, passed].filter(Boolean).join(' '))
}

// named reads a list of addresses. The server judges what is an address; here a list is only cut where it ends, outside of
// quotes, so that "Doe, Ann" <ann@example.com> is one.
const named = list => [...list.matchAll(/(?:"[^"]*"|[^,"])+/g)].map(([one]) => {
  const [, name, address] = one.match(/^(.*)<([^<>]*)>\s*$/) ?? [null, '', one]
  return { name: name.trim().replace(/^"(.*)"$/, '$1'), address: address.trim() }
}).filter(a => a.address)

// encoded gives a file's content in base64, made by the browser itself: a script would need the memory of it several times.
const encoded = file => new Promise((done, failed) => {
  const reader = Object.assign(new FileReader(), { onload: () => done(reader.result.split(',')[1] ?? ''), onerror: () => failed(reader.error) })
  reader.readAsDataURL(file)
})

// fate says what became of a message: in a word if all have accepted it, else for whom not, and why.
const fate = sent => tell(sent.results.every(r => r.fate === 'accepted') ? `Accepted by ${sent.results[0]?.host || 'the relay'}.`
  : sent.results.filter(r => r.fate !== 'accepted').map(r => `${r.recipient}: ${r.fate} ${r.code || ''} ${r.text}`).join('; '))

// The forms by their ids: what each makes of its fields. How it was sent is the value of the button.
const forms = {
  async compose(form, how) {
    const at = name => form.elements[name].value.trim()
    const message = { from: named(at('from')), to: named(at('to')), cc: named(at('cc')), bcc: named(at('bcc')), subject: at('subject'), text: form.elements.text.value, html: form.elements.html.value, headers: [] }
    message.attachments = [...form.querySelectorAll('[name=part]:checked')].map(box => ({ message: form.dataset.original, part: box.value, cid: box.dataset.cid }))
    for (const file of form.elements.files.files) message.attachments.push({ name: file.name, type: file.type, content: await encoded(file) })
    for (const [name, value] of [['In-Reply-To', form.dataset.reply], ['References', form.dataset.references]])
      if (value) message.headers.push([name, value.split(' ').map(id => `<${id}>`).join(' ')])
    const made = await ask('POST', how === 'send' ? 'api/v1/send' : api, message)
    if (made?.results) fate(made)
    if (made) { drafts.delete(form.dataset.draft); if (made.id) show('messages/' + made.id); else home() }
  },
  async faults(form, how) {
    const lines = form.elements.rules.value.split('\n').map(l => l.trim()).filter(Boolean)
    // Off is off whatever is written there; the text stays in the form until it is drawn anew.
    await misbehave(how === 'off' ? [] : lines)
  },
}
document.addEventListener('submit', event => {
  const run = forms[event.target.id]
  if (!run) return
  event.preventDefault()
  // Once: a second click while it is under way would send a second message.
  const form = event.target
  if (form.ariaBusy) return
  form.ariaBusy = 'true'
  run(form, event.submitter?.value).catch(error => tell(failed + error.message)).finally(() => { form.ariaBusy = null })
})

// misbehave sets rules; what is wrong with one is told, and then the old ones stay. The bar and the form are shown anew.
export async function misbehave(lines) {
  const set = await ask('PUT', 'api/v1/faults', { faults: lines.map(rule => ({ rule })) })
  if (!set) return
  tell(set.faults.length ? 'The server misbehaves from now on.' : 'The server behaves again.')
  const answer = await piece('faults').catch(() => null)
  if (!answer?.ok) return
  const page = parse(answer.html)
  $('#faulty').innerHTML = $('#faulty', page).innerHTML
  if ($('#faults', pane)) pane.innerHTML = $('#pane', page).innerHTML
}

// links has the server look at a message's links: only when somebody asks.
export async function links() {
  const button = $('[data-do=links]', pane), into = $('#links', pane) // the reader may be elsewhere when they have been looked at
  button.disabled = true
  const answer = await fetch(`messages/${openID()}/links`, { method: 'POST' }).then(a => a.text()).catch(() => null)
  button.disabled = false
  if (answer === null) tell(failed + away)
  else into.innerHTML = answer
}

// release sends the open message on; the id is taken before it asks, for another may be open by the answer.
export async function release() {
  const id = openID(), dialog = $('#releasing')
  const [to, resent] = dialog.querySelectorAll('input')
  to.value = setting('to') // who tries a message out sends each to the same few
  resent.value = ''
  if (!await asked(dialog)) return
  const recipients = to.value.split(',').map(r => r.trim()).filter(Boolean)
  remember('to', to.value)
  tell('It is being sent on …')
  const sent = await ask('POST', `${api}/${id}/release`, { recipients, resent_from: resent.value.trim() })
  if (sent?.results) fate(sent)
}

// Files that are dropped: into a message that is being written, or else into the inbox.
const brings = event => event.dataTransfer?.types.includes('Files')
export function dropped() {
  addEventListener('dragover', event => {
    if (!brings(event)) return
    event.preventDefault()
    event.dataTransfer.dropEffect = 'copy'
    document.body.dataset.drop = $('#compose') ? 'Attach them' : 'Drop .eml files to put them into the inbox'
  })
  addEventListener('dragleave', event => { if (!event.relatedTarget) delete document.body.dataset.drop })
  addEventListener('drop', event => {
    delete document.body.dataset.drop
    if (!brings(event)) return
    event.preventDefault()
    const form = $('#compose')
    if (!form) return take(event.dataTransfer.files)
    const all = new DataTransfer()
    for (const file of [...form.elements.files.files, ...event.dataTransfer.files]) all.items.add(file)
    form.elements.files.files = all.files
  })
  $('#eml').onchange = ({ target }) => take([...target.files]).then(() => { target.value = '' })
}
