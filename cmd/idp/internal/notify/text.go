package notify

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/sallyport-id/sallyport/provider"
)

// Every sentence by language and name. English is what others fall back to.
//
//go:embed texts.json
var textFile []byte

var sentences = sync.OnceValue(func() map[string]map[string]string {
	var all map[string]map[string]string
	if err := json.Unmarshal(textFile, &all); err != nil {
		panic(fmt.Sprintf("notify: texts.json: %v", err))
	}
	return all
})

// compose writes the mail of a notice, in the language of its user.
func (n *Notifier) compose(notice provider.Notice) Message {
	all := sentences()
	lang, _, _ := strings.Cut(strings.ToLower(notice.User.Claims.Locale), "-")
	say := func(name string) string {
		text := cmp.Or(all[lang][name], all["en"][name])
		return strings.NewReplacer(
			"{brand}", line(n.config.Brand),
			"{name}", line(cmp.Or(notice.User.Claims.Name, notice.User.Username)),
			"{username}", line(notice.User.Username),
			"{time}", notice.Time.UTC().Format(cmp.Or(all[lang]["time"], all["en"]["time"])),
			"{address}", line(notice.Address),
			"{left}", strconv.Itoa(notice.RecoveryLeft),
			"{account}", n.config.Issuer+"/account",
		).Replace(text)
	}
	parts := []string{say("greeting"), say(string(notice.Kind)), say("when")}
	if notice.Address != "" {
		parts[2] += "\n" + say("where")
	}
	parts = append(parts, say(string(notice.Kind)+".advice"), say("end"))
	return Message{
		To:      notice.User.Claims.Email,
		Subject: say(string(notice.Kind) + ".subject"),
		Body:    strings.Join(parts, "\n\n") + "\n",
	}
}

// line returns s as one line: a name with a line break in it could write
// sentences of its own into the mail, or headers.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, s)
	if rs := []rune(s); len(rs) > 100 {
		s = string(rs[:100]) + "…"
	}
	return strings.Join(strings.Fields(s), " ")
}
