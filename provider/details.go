package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sallyport-id/sallyport/provider/authflow"
	"github.com/sallyport-id/sallyport/provider/internal/engine"
	"github.com/sallyport-id/sallyport/templates"
)

// A DetailsType is a type of authorization details (RFC 9396 section 2): what
// exactly a client wants to do, such as one payment. They are shown to the user
// where the second factor is asked for, which is proven for them alone, and the
// tokens carry them.
type DetailsType struct {
	// Schema is a JSON Schema (2020-12) that details of the type must fit. Its
	// root must say additionalProperties: false, or what nobody has heard of
	// would be approved unseen. Required.
	Schema []byte

	// Show says in words what the details mean, by language: a text/template of
	// the details, each line of which is a line on the page. English takes the
	// place of a language that is missing, and is required. What it does not
	// show, nobody sees.
	Show map[string]string

	// Floor is what approving takes on top of the client's floor. It takes a
	// factor. Required.
	Floor authflow.Floor
}

// Limits of the authorization_details parameter.
const (
	maxDetails     = 4 << 10 // bytes
	maxDetailsMany = 8
	maxShown       = 1000 // runes on the page
)

// detailsTypes are those that there are, by name.
type detailsTypes map[string]*detailsType

type detailsType struct {
	schema *jsonschema.Schema
	show   map[string]*template.Template
}

func newDetailsTypes(types map[string]DetailsType) (detailsTypes, error) {
	all := detailsTypes{}
	for name, t := range types {
		compiled, err := t.compile()
		if err != nil {
			return nil, fmt.Errorf("%w: DetailsTypes: %q: %w", ErrConfig, name, err)
		}
		all[name] = compiled
	}
	return all, nil
}

// Check says what is wrong with t, but for its Floor, which is judged with the
// ladder.
func (t DetailsType) Check() error {
	_, err := t.compile()
	return err
}

func (t DetailsType) compile() (*detailsType, error) {
	var root struct {
		Additional *bool `json:"additionalProperties"`
	}
	if err := json.Unmarshal(t.Schema, &root); err != nil {
		return nil, errors.New("the schema is no JSON object, or its additionalProperties is not false")
	}
	if root.Additional == nil || *root.Additional {
		return nil, errors.New("the schema must say additionalProperties: false, or what is not shown would be approved")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(t.Schema))
	if err != nil {
		return nil, fmt.Errorf("the schema is no JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{}) // nothing is fetched, or read from a file
	if err := c.AddResource("details.json", doc); err != nil {
		return nil, fmt.Errorf("the schema cannot be used: %w", err)
	}
	d := &detailsType{show: map[string]*template.Template{}}
	if d.schema, err = c.Compile("details.json"); err != nil {
		return nil, fmt.Errorf("the schema cannot be used: %w", err)
	}
	if t.Show["en"] == "" {
		return nil, errors.New("there is nothing to show in English")
	}
	for lang, text := range t.Show {
		if d.show[lang], err = template.New(lang).Option("missingkey=error").Parse(text); err != nil {
			return nil, fmt.Errorf("what is shown in %q cannot be used: %w", lang, err)
		}
	}
	return d, nil
}

// noLoader refuses what a schema refers to elsewhere.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("a schema must not refer to another")
}

// details are the authorization details of a request. The zero details are
// none.
type details struct {
	text  string   // as JSON, compact
	types []string // each once
	items []detail
}

type detail struct {
	kind  *detailsType
	value map[string]any // strings in it are inert
}

// details reads the authorization_details of a request of c. Errors are
// Refusals, with the code of RFC 9396 section 5.
func (p *Provider) details(v url.Values, c Client) (details, error) {
	text := v.Get("authorization_details")
	if text == "" {
		return details{}, nil
	}
	refused := func(why string) (details, error) {
		return details{}, engine.Refuse("invalid_authorization_details", why)
	}
	if len(text) > maxDetails {
		return refused(fmt.Sprintf("authorization_details is longer than %d bytes.", maxDetails))
	}
	items, err := strictObjects(text)
	if err != nil {
		return refused("authorization_details is not an array of JSON objects, each of whose members has a name of its own.")
	}
	if len(items) == 0 || len(items) > maxDetailsMany {
		return refused(fmt.Sprintf("authorization_details has to have 1 to %d objects.", maxDetailsMany))
	}
	var d details
	for _, item := range items {
		name, _ := item["type"].(string)
		kind := p.detailsTypes[name]
		if kind == nil || !slices.Contains(c.DetailsTypes, name) {
			return refused("authorization_details has a type that is unknown, or that the client is not registered for.")
		}
		if err := kind.schema.Validate(item); err != nil {
			return refused("authorization_details does not fit the schema of its type.")
		}
		if !slices.Contains(d.types, name) {
			d.types = append(d.types, name)
		}
		value, _ := inert(item).(map[string]any)
		d.items = append(d.items, detail{kind, value})
	}
	for _, lang := range p.pages.Languages() {
		if _, err := d.shown(lang); err != nil {
			return refused("authorization_details cannot be shown to the user.")
		}
	}
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		return refused("authorization_details is no JSON.")
	}
	d.text = b.String()
	return d, nil
}

// sameDetails reports whether text, which a token request repeats, is what g
// was given for, if there is one. There is nothing else that it can ask for.
func sameDetails(text string, g *engine.Grant) bool {
	var b bytes.Buffer
	return text == "" || g != nil && json.Compact(&b, []byte(text)) == nil && b.String() == string(g.Details)
}

// typesOf returns the types of details as they are stored, each once.
func typesOf(text string) (types []string) {
	items, err := strictObjects(text)
	if err != nil {
		return nil // none, as only what has been read before is stored
	}
	for _, item := range items {
		if name, ok := item["type"].(string); ok && !slices.Contains(types, name) {
			types = append(types, name)
		}
	}
	return types
}

// permits reports whether c may still have details of all these types.
func (p *Provider) permits(c Client, types []string) bool {
	return !slices.ContainsFunc(types, func(name string) bool {
		return p.detailsTypes[name] == nil || !slices.Contains(c.DetailsTypes, name)
	})
}

// strictObjects reads a JSON array of objects. A name that stands twice in one
// object is an error: which of the two counts, readers do not agree on, and the
// one that is shown must be the one that is done.
func strictObjects(text string) ([]map[string]any, error) {
	if !utf8.ValidString(text) {
		return nil, errMalformed
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	v, err := strictValue(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errMalformed
	}
	list, ok := v.([]any)
	if !ok {
		return nil, errMalformed
	}
	var all []map[string]any
	for _, v := range list {
		o, ok := v.(map[string]any)
		if !ok {
			return nil, errMalformed
		}
		all = append(all, o)
	}
	return all, nil
}

func strictValue(dec *json.Decoder) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := strictValue(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, err
	case json.Delim('{'):
		object := map[string]any{}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return nil, err
			}
			key, ok := name.(string)
			if _, twice := object[key]; !ok || twice {
				return nil, errMalformed
			}
			if object[key], err = strictValue(dec); err != nil {
				return nil, err
			}
		}
		_, err := dec.Token()
		return object, err
	}
	return token, nil
}

// inert returns v with every text in it as it may stand on a page: a payee must
// not be able to write a line of their own.
func inert(v any) any {
	switch v := v.(type) {
	case string:
		return templates.Inert(v)
	case []any:
		all := make([]any, len(v))
		for i := range v {
			all[i] = inert(v[i])
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for name := range v {
			all[name] = inert(v[name])
		}
		return all
	}
	return v
}

// errShown says that details cannot be shown, and so not approved.
var errShown = errors.New("provider: details that cannot be shown")

// shown returns the lines that say in lang what d means.
func (d details) shown(lang string) (lines []string, err error) {
	runes := 0
	for _, item := range d.items {
		words := item.kind.show[lang]
		if words == nil {
			words = item.kind.show["en"]
		}
		var b strings.Builder
		if err := words.Execute(&b, item.value); err != nil {
			return nil, fmt.Errorf("%w: %w", errShown, err)
		}
		before := len(lines)
		for line := range strings.Lines(b.String()) {
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
				runes += utf8.RuneCountInString(line)
			}
		}
		if len(lines) == before || runes > maxShown {
			return nil, errShown
		}
	}
	return lines, nil
}
