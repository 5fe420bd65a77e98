package templates

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func parse(t testing.TB, page string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// find returns the elements called name, in their order; all if it is empty.
func find(n *html.Node, name string) (all []*html.Node) {
	for c := range n.Descendants() {
		if c.Type == html.ElementNode && (name == "" || c.Data == name) {
			all = append(all, c)
		}
	}
	return all
}

func attr(n *html.Node, key string) (string, bool) {
	i := slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
	if i < 0 {
		return "", false
	}
	return n.Attr[i].Val, true
}

func is(n *html.Node, key, val string) bool {
	v, ok := attr(n, key)
	return ok && v == val
}

func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// skeleton is what a page is made of but its text: elements and attributes,
// and the values of those that a name cannot be in.
func skeleton(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		switch c.Type {
		case html.ElementNode:
			b.WriteString("<" + c.Data)
			for _, a := range c.Attr {
				b.WriteString(" " + a.Key)
				if !slices.Contains([]string{"value", "href", "src"}, a.Key) {
					b.WriteString("=" + a.Val)
				}
			}
			b.WriteString(">\n")
		case html.CommentNode:
			b.WriteString("<!-- -->\n")
		}
	}
	return b.String()
}
