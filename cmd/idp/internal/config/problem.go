package config

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Problem is one thing that is wrong with a configuration.
type Problem struct {
	File   string
	Line   int    // 0: nowhere, it is missing
	Key    string // as clients[0].redirect_uris[1]; empty: the whole file
	Reason string // what is wrong and what to do; never a secret
}

// String returns the Problem as compilers write one.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Reason)
	return b.String()
}

// Problems are everything that is wrong, in the order of the file. It is an
// error of one line each.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return ps
}

// A report gathers problems and knows where each key stands.
type report struct {
	file     string
	at       map[string]int // line by key
	problems Problems
}

// add says that the value at key is wrong, unless something was said of that
// key before: a value that does not even read would be called missing too.
func (r *report) add(key, format string, args ...any) {
	line := r.line(key)
	if slices.ContainsFunc(r.problems, func(p Problem) bool { return key != "" && p.Key == key }) {
		return
	}
	r.problems = append(r.problems, Problem{r.file, line, key, fmt.Sprintf(format, args...)})
}

// line returns where key stands, or the closest key around it; 0 if nothing
// of it does.
func (r *report) line(key string) int {
	for key != "" {
		if n, ok := r.at[key]; ok {
			return n
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return 0
}

// places returns the line of every key in doc.
func places(doc *yaml.Node) map[string]int {
	at := map[string]int{}
	var walk func(n *yaml.Node, key string)
	walk = func(n *yaml.Node, key string) {
		switch n.Kind {
		case yaml.DocumentNode:
			for _, c := range n.Content {
				walk(c, key)
			}
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				k := strings.TrimPrefix(key+"."+n.Content[i].Value, ".")
				at[k] = n.Content[i].Line
				walk(n.Content[i+1], k)
			}
		case yaml.SequenceNode:
			for i, c := range n.Content {
				k := fmt.Sprintf("%s[%d]", key, i)
				at[k] = c.Line
				walk(c, k)
			}
		}
	}
	walk(doc, "")
	return at
}

// What the YAML library says, of which our sentences are made. Its own quote
// the value, and a secret in the wrong place is still a secret.
var (
	atLine    = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknown   = regexp.MustCompile(`^field (\S+) not found in type`)
	twice     = regexp.MustCompile(`^(?:mapping key "?(\S+?)"? already defined|field (\S+) already set)`)
	wrongKind = regexp.MustCompile("^cannot unmarshal (\\S+)(?: `(?s:.*)`)? into (\\S+)$")
)

// malformed turns an error of the YAML library into problems.
func (r *report) malformed(err error) {
	texts := []string{err.Error()}
	var te *yaml.TypeError
	if errors.As(err, &te) {
		texts = te.Errors
	}
	for _, text := range texts {
		p := Problem{File: r.file, Reason: text}
		if m := atLine.FindStringSubmatch(text); m != nil {
			p.Line, _ = strconv.Atoi(m[1])
			p.Reason = m[2]
		}
		switch {
		case unknown.MatchString(p.Reason):
			name := unknown.FindStringSubmatch(p.Reason)[1]
			p.Key = r.key(p.Line, name)
			p.Reason = "unknown key"
			if p.Key == "" {
				p.Key = name
			}
		case twice.MatchString(p.Reason):
			m := twice.FindStringSubmatch(p.Reason)
			p.Key, p.Reason = m[1]+m[2], "stands twice"
		case wrongKind.MatchString(p.Reason):
			m := wrongKind.FindStringSubmatch(p.Reason)
			p.Key = r.key(p.Line, "")
			p.Reason = fmt.Sprintf("is %s where %s belongs", kindOf(m[1]), kindOf(m[2]))
		default:
			if atLine.MatchString(text) {
				p.Key = r.key(p.Line, "")
			}
		}
		r.problems = append(r.problems, p)
	}
}

// key returns the key at line whose last part is name, or any if name is
// empty: the deepest.
func (r *report) key(line int, name string) string {
	found := ""
	for k, n := range r.at {
		if n == line && (name == "" || k == name || strings.HasSuffix(k, "."+name)) &&
			(len(k) > len(found) || len(k) == len(found) && k < found) {
			found = k
		}
	}
	return found
}

// kindOf puts a YAML tag or Go type into words.
func kindOf(t string) string {
	switch t {
	case "!!seq":
		return "a list"
	case "!!map":
		return "a section"
	case "!!int", "!!float", "int":
		return "a number"
	case "!!bool", "bool":
		return "true or false"
	case "!!str", "!!timestamp", "!!null", "string", "config.Secret", "config.Duration":
		return "text"
	}
	if strings.HasPrefix(t, "[]") {
		return "a list"
	}
	return "a section"
}
