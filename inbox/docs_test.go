package inbox

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every request in docs/http.md is one that is answered, and all that are
// answered are in it.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "http.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+) ([^`]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		documented[m[1]+" "+m[2]] = true
	}
	mux := http.NewServeMux()
	new(Inbox).apiRoutes(mux)
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		for _, path := range []string{"messages", "messages/wait", "messages/{id}", "messages/{id}/raw", "messages/{id}/parts/{path}",
			"messages/{id}/session", "messages/{id}/checks", "tags", "inboxes", "messages/{id}/release", "send", "faults", "events", "openapi.json"} {
			r := httptest.NewRequest(method, apiPath+strings.NewReplacer("{id}", "x", "{path}", "1").Replace(path), nil)
			_, pattern := mux.Handler(r)
			answered := pattern == method+" "+apiPath+path
			if request := method + " " + path; answered != documented[request] {
				t.Errorf("%s: answered %v, in docs/http.md %v", request, answered, documented[request])
			}
			delete(documented, method+" "+path)
		}
	}
	for request := range documented {
		t.Errorf("docs/http.md has %s, which the test does not know", request)
	}
}

// The OpenAPI document is one, by another program's judgement, and names every
// request that is answered and no other.
func TestOpenAPI(t *testing.T) {
	file, err := filepath.Abs("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=tools/go.mod", "validate", file)
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the validator says: %v\n%s", err, out)
	}
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	new(Inbox).apiRoutes(mux)
	for path, methods := range doc.Paths {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			r := httptest.NewRequest(method, strings.TrimSuffix(apiPath, "/")+strings.NewReplacer("{id}", "x", "{path}", "1").Replace(path), nil)
			_, pattern := mux.Handler(r)
			answered := pattern == method+" "+strings.TrimSuffix(apiPath, "/")+path
			if _, described := methods[strings.ToLower(method)]; answered != described {
				t.Errorf("%s %s: answered %v, described %v", method, path, answered, described)
			}
		}
	}
	// Of the parameters that are described each is known, and no others are.
	web := &Inbox{}
	web.setUp()
	for path, methods := range doc.Paths {
		for method, text := range methods {
			var of struct {
				Parameters []struct{ Name, In string }
			}
			if method == "parameters" || json.Unmarshal(text, &of) != nil {
				continue
			}
			described := "none"
			for _, p := range of.Parameters {
				if p.In == "query" {
					described = strings.TrimPrefix(described+", "+p.Name, "none, ")
				}
			}
			w := httptest.NewRecorder()
			web.ServeHTTP(w, httptest.NewRequest(strings.ToUpper(method), "http://localhost"+strings.TrimSuffix(apiPath, "/")+path+"?nonsense=1", nil))
			if !strings.Contains(w.Body.String(), "there are: "+described+`"}`) {
				t.Errorf("%s %s describes the parameters %s; asked with another it says %s", method, path, described, w.Body)
			}
		}
	}
	if len(doc.Paths) < 11 {
		t.Errorf("the document has %d paths", len(doc.Paths))
	}
}
