// The reader's own choice of colours, before anything is painted: modules run too late for that.
try {
  document.documentElement.dataset.theme = JSON.parse(localStorage.getItem('postrider') ?? '{}').theme ?? ''
} catch { /* no storage: the system's colours */ }
