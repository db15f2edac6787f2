package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/postrider/postrider/internal/peers"
	"github.com/postrider/postrider/mail"
)

// Behind a proxy that has other things beside the page, all that a person does stays
// below the page's path, whether the proxy passes that on or cuts it off.
func TestWebPath(t *testing.T) {
	peers.Find(t, peers.Chromium)
	peers.Find(t, peers.Nginx)
	for name, cut := range map[string]string{"whole": "", "cut": "/"} {
		t.Run(name, func(t *testing.T) {
			w := &web{served: start(t, t.TempDir(), "--web-path", "/team/mail"), ctx: chromium(t)}
			testBelow(t, w, cut)
		})
	}
}

// testBelow puts nginx before the page, at /team/mail and with nothing else to show.
func testBelow(t *testing.T, w *web, cut string) {
	front, dir := peers.FreeAddr(t), t.TempDir()
	conf, log := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "log")
	write(t, conf, fmt.Sprintf(`daemon off;
master_process off;
pid %[1]s/pid;
error_log %[2]s;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  server {
    listen %[3]s;
    root %[1]s/nothing;
    location /team/mail/ { proxy_pass %[4]s%[5]s; }
    location /favicon.ico { return 204; }
  }
}
`, dir, log, front, w.web, cut))
	peers.Start(t, peers.Command(t, peers.Nginx, "-c", conf, "-p", dir)).Accepts(front)
	direct := w.web
	w.web = "http://" + front + "/team/mail"
	w.open(t, "/")
	// The stream of events comes through, and so do the pieces that it has the page fetch.
	w.deliver(written(t, &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "Below", HTML: "<p>Hello</p>"}))
	w.deliver(written(t, &mail.Message{From: mail.List("ann@example.com"), To: mail.List("bob@example.net"), Subject: "Beside", Text: "Hello"}))
	until(t, w.ctx, `document.querySelectorAll(".rows li").length === 2`)
	id := w.wait("Below")
	at := func(path string) {
		t.Helper()
		until(t, w.ctx, `location.pathname + location.search === "/team/mail`+path+`"`)
	}
	w.click(t, `.rows li[data-id="`+id+`"] a`)
	w.title(t, "Below")
	at("/messages/" + id)
	until(t, w.ctx, `document.querySelector("iframe.body").src.includes("/team/mail/messages/`+id+`/html")`)
	w.click(t, `.tabs a[href*="view=parts"]`)
	at("/messages/" + id + "?view=parts")
	w.press(t, "r")
	until(t, w.ctx, `document.querySelector("#compose") !== null`)
	w.open(t, strings.TrimPrefix(eval[string](t, w.ctx, `document.querySelector(".brand").href`), w.web))
	at("/")
	w.search(t, "subject:beside")
	until(t, w.ctx, `document.querySelectorAll(".rows li").length === 1`)
	at("/?query=subject%3Abeside")
	w.click(t, ".rows li a")
	w.title(t, "Beside")
	eval[bool](t, w.ctx, "history.back(), true")
	at("/?query=subject%3Abeside")
	until(t, w.ctx, `!document.querySelector("article")`)
	// A link into the page leads to its message, also for who comes without the proxy.
	w.open(t, "/messages/"+id)
	w.title(t, "Below")
	if asked, err := os.ReadFile(log); err != nil || len(asked) > 0 {
		t.Errorf("nginx was asked for what is not there: %v\n%s", err, asked)
	}
	w.web = direct
	w.open(t, "/messages/"+id)
	w.title(t, "Below")
}

// testAway has the server go away behind a proxy, which answers for it that it is away: the page says so, and goes on by
// itself when the server is back.
func testAway(t *testing.T, w *web) {
	to, err := url.Parse(w.web)
	if err != nil {
		t.Fatal(err)
	}
	away, asked := new(atomic.Bool), make(chan struct{}, 100)
	proxy := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events") {
			asked <- struct{}{}
		}
		if away.Load() {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(rw, r)
	}))
	t.Cleanup(front.Close)
	t.Cleanup(front.CloseClientConnections)
	// Not by open, which stretches times.
	do(t, w.ctx, chromedp.EmulateViewport(1280, 800), media("light"), chromedp.Navigate(front.URL+"/?query=quince"))
	until(t, w.ctx, `document.querySelector("#live").innerText === "live" && document.querySelector("#live").dataset.on === "true"`)
	<-asked
	away.Store(true)
	front.CloseClientConnections()
	<-asked
	until(t, w.ctx, `document.querySelector("#live").innerText === "offline"`)
	w.look(t, "away")
	do(t, w.ctx, chromedp.EmulateViewport(390, 844))
	until(t, w.ctx, `getComputedStyle(document.querySelector("#live")).fontSize !== "0px"`)
	w.notes(t, "quince", 1)
	away.Store(false)
	until(t, w.ctx, `document.querySelector("#live").innerText === "live"`)
	w.rows(t, 1)
	// Who comes back to the page, after a sleep of the machine perhaps, is not left with a stream that may be dead.
	for len(asked) > 0 {
		<-asked
	}
	eval[bool](t, w.ctx, `document.dispatchEvent(new Event("visibilitychange"))`)
	<-asked
	until(t, w.ctx, `(await fetch("/metrics").then(a => a.text())).includes("postrider_event_streams 1\n")`)
	w.notes(t, "quince", 1)
	w.rows(t, 2)
}
