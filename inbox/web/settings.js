// What this browser remembers: colours, how HTML is looked at, whether to notify. The server knows nothing of it.

const $ = (selector, root = document) => root.querySelector(selector)
const key = 'postrider'

// Storage may be forbidden or full of something else: the page works without.
function read() {
  try { return Object(JSON.parse(localStorage.getItem(key) ?? '{}')) } catch { return {} }
}

export const setting = name => read()[name] ?? ''

export function remember(name, value) {
  try { localStorage.setItem(key, JSON.stringify({ ...read(), [name]: value })) } catch { /* it is forgotten */ }
  if (name === 'theme') document.documentElement.dataset.theme = value
}

// look adds to the URL of a message how HTML was looked at last, unless the URL says how.
export function look(url) {
  if (url.searchParams.has('view')) return url
  for (const [name, value] of [['width', setting('width')], ['scheme', setting('scheme')], ['images', setting('images') && 'load']])
    if (value) url.searchParams.set(name, value)
  return url
}

// looked remembers how HTML is looked at from now on, by the link that was chosen. That remote images are loaded is not
// remembered: it is one message's affair unless the settings say else.
export function looked(url) {
  if (url.searchParams.get('view') !== 'html') return
  for (const name of ['width', 'scheme']) remember(name, url.searchParams.get(name) ?? '')
}

// settings shows them. They are read anew each time, for another tab may have changed them; each counts as soon as it is chosen.
export function settings(changed) {
  const dialog = $('#settings'), form = $('form', dialog)
  for (const radio of form.querySelectorAll('[type=radio]')) radio.checked = radio.value === setting(radio.name)
  for (const name of ['images', 'notify']) form.elements[name].checked = setting(name) === true
  form.elements.notify.checked &&= allowed()
  form.onchange = async ({ target }) => {
    if (target.name === 'notify' && target.checked && !await permitted()) {
      target.checked = false
      const why = $('.faint', target.closest('label'))
      why.textContent = 'This browser does not allow it; its own settings for this site say why.'
      why.role = 'alert'
    }
    remember(target.name, target.type === 'checkbox' ? target.checked : target.value)
    if (['width', 'scheme', 'images'].includes(target.name)) changed()
  }
  dialog.showModal()
}

const allowed = () => 'Notification' in window && Notification.permission === 'granted'
const permitted = async () => 'Notification' in window && await Notification.requestPermission() === 'granted'

// notify tells of a message that arrived while the reader was elsewhere. There is one notification at a time: a flood of
// mail does not fill the screen.
let shown
export function notify(message, open) {
  if (setting('notify') !== true || !allowed() || document.hasFocus() && !document.hidden) return
  shown?.close()
  const from = message.from[0]?.name || message.from[0]?.address || message.sender
  shown = new Notification(from || 'New mail', { body: message.subject || '(no subject)', tag: key })
  shown.onclick = () => { focus(); open(message.id); shown.close() }
}
