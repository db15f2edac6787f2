// Package template makes messages out of templates: a subject, a text and HTML that belong together and are filled in from
// the same data.
//
// A template called "welcome" is the files welcome.subject, welcome.txt and welcome.html of one folder; the subject and one
// of the other two must be there. What several templates share lies in files of that folder whose names begin with an
// underscore: _footer.txt is called by {{template "_footer.txt" .}} in subjects and texts, _footer.html in HTML.
//
// The languages are those of text/template and html/template: what is filled into HTML is escaped for its place. Pictures that
// the HTML names by their files come along by [mail.Message.Embed].
package template

import (
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"path"
	"strings"
	texttemplate "text/template"

	"github.com/postrider/postrider/mail"
)

// What a user writes into a form ends up in subject, text and HTML, and means something else in each: a new field, nothing, a
// script. So the subject is checked to be one line, and the HTML is filled in by the template language that knows HTML.
//
// It is a package of its own because a program that links the templates of the standard library is much larger.

// Funcs are functions that templates may call, by name.
type Funcs map[string]any

// A Template makes messages. It may be used by several goroutines at once.
type Template struct {
	name    string
	subject *texttemplate.Template
	text    *texttemplate.Template // nil if there is none
	html    *htmltemplate.Template // nil if there is none
}

// Parse reads the template of a name, which may have a folder before it: "mail/welcome". Nil funcs are none. The error
// names the file, and the line where there is one; it is [fs.ErrNotExist] if there is no such template.
func Parse(fsys fs.FS, name string, funcs Funcs) (*Template, error) {
	t := &Template{name: path.Base(name)}
	dir := path.Dir(name)
	for _, ext := range []string{".subject", ".txt", ".html"} {
		// A message has a subject or it is a mistake; of text and HTML either will do.
		source, err := fs.ReadFile(fsys, name+ext)
		if errors.Is(err, fs.ErrNotExist) && ext != ".subject" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
		// A subject shares the files of texts: neither escapes anything, and there is little to share in one line.
		pattern := "_*.txt"
		if ext == ".html" {
			pattern = "_*.html"
		}
		pattern = path.Join(escapeGlob(dir), pattern)
		shared, err := fs.Glob(fsys, pattern)
		if err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
		if len(shared) == 0 {
			pattern = "" // which ParseFS would take for a mistake
		}
		if err := t.add(fsys, t.name+ext, string(source), pattern, funcs); err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
	}
	if t.text == nil && t.html == nil {
		return nil, fmt.Errorf("template: neither %s.txt nor %s.html: %w", name, name, fs.ErrNotExist)
	}
	return t, nil
}

// escapeGlob makes a folder's name mean itself: "drafts[1]" is a folder and no pattern.
func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// add parses one of the files, with those that it shares with others.
// A field that the data does not have is an error: a message with "<no value>" in it is worse than none.
func (t *Template) add(fsys fs.FS, name, source, shared string, funcs Funcs) (err error) {
	if path.Ext(name) == ".html" {
		set := htmltemplate.New(name).Funcs(htmltemplate.FuncMap(funcs)).Option("missingkey=error")
		if shared != "" {
			if _, err := set.ParseFS(fsys, shared); err != nil {
				return err
			}
		}
		t.html, err = set.Parse(source)
		return err
	}
	set := texttemplate.New(name).Funcs(texttemplate.FuncMap(funcs)).Option("missingkey=error")
	if shared != "" {
		if _, err := set.ParseFS(fsys, shared); err != nil {
			return err
		}
	}
	set, err = set.Parse(source)
	if path.Ext(name) == ".subject" {
		t.subject = set
	} else {
		t.text = set
	}
	return err
}

// Message makes a message: Subject, Text and HTML, to be addressed and sent. White space around the subject is dropped; a
// line break in it is an error, and never a field. The error tells where in which file.
func (t *Template) Message(data any) (*mail.Message, error) {
	var subject, text, html strings.Builder
	if err := t.subject.Execute(&subject, data); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	// Without a text of its own the message gets one made of the HTML when it is written.
	if t.text != nil {
		if err := t.text.Execute(&text, data); err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
	}
	if t.html != nil {
		if err := t.html.Execute(&html, data); err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
	}
	m := &mail.Message{Subject: strings.TrimSpace(subject.String()), Text: text.String(), HTML: html.String()}
	if strings.ContainsAny(m.Subject, "\r\n\x00") {
		return nil, fmt.Errorf("template: %s.subject: the subject has more than one line: %.60q", t.name, m.Subject)
	}
	return m, nil
}
