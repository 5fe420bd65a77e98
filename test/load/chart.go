package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// wanted is what an operation may take of CPU, in ms, by database
// (docs/performance.md says where that comes from).
var wanted = map[string][2]float64{
	"discovery": {0.15, 0.15}, "keys": {0.15, 0.15}, "client credentials": {0.30, 0.60}, "introspect": {0.25, 0.50},
	"userinfo": {0.25, 0.50}, "refresh": {0.60, 1.5}, "login": {2.0, 5.0},
}

// chart draws the CPU for one operation at one client: a bar for each database,
// and a line where it may end at most. The axis is logarithmic.
func chart(rows []row) []byte {
	const (
		left, right, top, bar, gap = 150, 690, 40, 12, 16
		low, high                  = 0.01, 100.0
	)
	x := func(ms float64) float64 {
		share := math.Log10(max(ms, low)/low) / math.Log10(high/low)
		return left + share*(right-left)
	}
	var b bytes.Buffer
	y := top
	var body bytes.Buffer
	for _, o := range operations {
		fmt.Fprintf(&body, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-10, y+bar+4, html.EscapeString(o.name))
		for i, database := range []string{"sqlite", "postgres"} {
			for _, r := range rows {
				if r.operation != o.name || r.database != database || r.clients != 1 {
					continue
				}
				ms := float64(r.cpu.Microseconds()) / 1000
				fmt.Fprintf(&body, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>`+"\n", database, left, y, max(x(ms)-left, 1), bar)
				fmt.Fprintf(&body, `<path class="most" d="M%.1f %dv%d"/>`+"\n", x(wanted[o.name][i]), y-1, bar+2)
				fmt.Fprintf(&body, `<text class="small" x="%.1f" y="%d">%.2f</text>`+"\n", max(x(ms), x(wanted[o.name][i]))+6, y+bar-2, ms)
			}
			y += bar + 2
		}
		y += gap
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 %d" role="img" aria-label="CPU time of the server for one operation, in milliseconds">
<style>
text { font: 13px system-ui, sans-serif; fill: #1b201e } .small { font-size: 11px } .grid { stroke: #8886; } .most { stroke: #a8261c; stroke-width: 2 }
.sqlite { fill: #1d5c4b } .postgres { fill: #7fb8a4 }
@media (prefers-color-scheme: dark) { text { fill: #e9ecea } .most { stroke: #ffb4a8 } .sqlite { fill: #8bd0b8 } .postgres { fill: #3f7f6c } }
</style>
`, y+30)
	for _, ms := range []float64{0.01, 0.1, 1, 10, 100} {
		fmt.Fprintf(&b, `<path class="grid" d="M%.1f %dv%d"/><text class="small" x="%.1f" y="%d" text-anchor="middle">%g ms</text>`+"\n",
			x(ms), top-6, y-top, x(ms), top-14, ms)
	}
	b.Write(body.Bytes())
	fmt.Fprintf(&b, `<rect class="sqlite" x="%d" y="%d" width="12" height="12"/><text class="small" x="%d" y="%d">SQLite</text>
<rect class="postgres" x="%d" y="%d" width="12" height="12"/><text class="small" x="%d" y="%d">PostgreSQL, with its own CPU</text>
<path class="most" d="M%d %dv12"/><text class="small" x="%d" y="%d">at most</text>
</svg>
`, left, y, left+18, y+10, left+90, y, left+108, y+10, left+300, y, left+308, y+10)
	return b.Bytes()
}
