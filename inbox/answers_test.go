package inbox_test

import (
	"bytes"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/postrider/postrider/inbox"
)

// Answers held against their description: whatever a test of this package asks of the
// interface, the OpenAPI document says what may come back, by name and type.

// A described is the OpenAPI document, whose objects have no names but those in it.
type described struct {
	mu    sync.Mutex
	t     testing.TB
	doc   map[string]any
	rules *jsonschema.Compiler
}

// describe reads the document.
func describe(t testing.TB) *described {
	t.Helper()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	closed(doc)
	rules := jsonschema.NewCompiler()
	rules.DefaultDraft(jsonschema.Draft4) // what OpenAPI 3.0 goes by
	rules.AssertFormat()
	if err := rules.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return &described{t: t, doc: doc.(map[string]any), rules: rules}
}

// closed has every object that names its members have no others: the document leaves
// room for them, so that clients take what later versions add.
func closed(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			closed(e)
		}
	case map[string]any:
		for _, e := range v {
			closed(e)
		}
		if _, named := v["properties"].(map[string]any); named && v["type"] == "object" && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
	}
}

// holds tells whether an answer is one that is described.
func (d *described) holds(a *reply) {
	d.t.Helper()
	method, path := a.Request.Method, strings.TrimPrefix(a.Request.URL.Path, strings.TrimSuffix(api, "/"))
	template := d.template(path)
	if template == "" || method == http.MethodHead {
		return // what is not there, or has no body, is not described
	}
	paths := d.doc["paths"].(map[string]any)
	op, ok := paths[template].(map[string]any)[strings.ToLower(method)].(map[string]any)
	if !ok {
		return
	}
	at := "openapi.json#/paths/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(template) + "/" + strings.ToLower(method) + "/responses/"
	responses := op["responses"].(map[string]any)
	status := strconv.Itoa(a.StatusCode)
	if responses[status] == nil && a.StatusCode >= 400 {
		status = "default"
	}
	response, ok := responses[status].(map[string]any)
	if ok && response["$ref"] != nil {
		response, at, status = d.doc["components"].(map[string]any)["responses"].(map[string]any)["Error"].(map[string]any), "openapi.json#/components/responses/", "Error"
	}
	media, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
	content, _ := response["content"].(map[string]any)
	if content[media] == nil && content["*/*"] == nil {
		d.t.Errorf("%s %s: %s in %s is not described", method, a.Request.URL, a.Status, media)
		return
	}
	if media != "application/json" || content[media] == nil {
		return
	}
	d.mu.Lock() // a compiler is not for several at once
	rule, err := d.rules.Compile(at + status + "/content/application~1json/schema")
	d.mu.Unlock()
	if err != nil {
		d.t.Fatal(err)
	}
	got, err := jsonschema.UnmarshalJSON(strings.NewReader(a.body))
	if err == nil {
		err = rule.Validate(got)
	}
	if err != nil {
		d.t.Errorf("%s %s: %v\n%s", method, a.Request.URL, err, a.body)
	}
}

// template returns the path of the document that a path is one of, the one with the
// fewest names that stand for others.
func (d *described) template(path string) (found string) {
	pieces := strings.Split(path, "/")
	for template := range d.doc["paths"].(map[string]any) {
		own := strings.Split(template, "/")
		ok := len(own) == len(pieces)
		for i := 0; ok && i < len(own); i++ {
			ok = own[i] == pieces[i] || strings.HasPrefix(own[i], "{")
		}
		if ok && (found == "" || strings.Count(template, "{") < strings.Count(found, "{")) {
			found = template
		}
	}
	return found
}

// What a real inbox answers about one message of each kind is described.
func TestAnswersAreDescribed(t *testing.T) {
	r := start(t, func(in *inbox.Inbox) { in.Rule = inbox.ByDomain })
	for _, msg := range []string{withParts, "Subject: code 493021\r\nDate: Fri, 27 Nov 2026 10:00:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<a href=https://example.com/>x</a>\r\n", "no field\r\n", "\r\n"} {
		id := r.mustDeliver(msg)
		for _, path := range []string{"", "/raw", "/session", "/checks", "/parts/1", "/parts/9"} {
			r.ask("GET", api+"messages/"+id+path, "")
		}
		r.ask("GET", api+"messages/"+id+"/raw", "", "Range", "bytes=0-0")
		r.ask("GET", api+"messages/"+id+"/raw", "", "Range", "bytes=0-0,1-1")
		r.ask("GET", api+"messages/"+id+"/raw", "", "Range", "bytes=9999-")
		r.ask("GET", api+"messages/"+id, "", "Host", "evil.example")
		r.ask("DELETE", api+"messages/"+id, "", "Sec-Fetch-Site", "cross-site")
	}
	for _, path := range []string{"messages", "messages/wait", "tags", "inboxes", "faults", "openapi.json"} {
		if a := r.ask("GET", api+path, ""); a.StatusCode != 200 {
			t.Errorf("%s: %s", path, a.Status)
		}
	}
}
