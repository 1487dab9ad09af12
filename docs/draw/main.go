// Command draw draws the decision table as docs/images/decision.svg. Run it in
// the project's root:
//
//	go run ./docs/draw
package main

import (
	"fmt"
	"html"
	"log"
	"os"
	"strings"
)

func main() {
	if err := os.WriteFile("docs/images/decision.svg", []byte(picture()), 0o644); err != nil {
		log.Fatal(err)
	}
}

// outcome is what a row comes to, and how it is coloured.
type outcome string

const (
	session outcome = "session" // the handler runs with a session
	refused outcome = "refused" // 400, 401, 403
	unknown outcome = "unknown" // 503
	further outcome = "further" // another card decides
)

// row is one line of a card: of the rows that fit a request the first decides.
type row struct {
	when []string // one or two lines
	then outcome
	says string
}

// card is a step of the decision.
type card struct {
	title, note string
	rows        []row
}

// The cards, with the defaults of middleware.Config.
var (
	carrier = card{"1  What carries a credential", "Authorization: Bearer, else configured headers, else cookies; never a mixture", []row{
		{[]string{"nothing"}, refused, "401, anonymous"},
		{[]string{"two Authorization headers"}, refused, "400, cookies stay"},
		{[]string{"two different values for one cookie"}, refused, "401, cookies stay"},
		{[]string{"neither a JWT (two dots) nor a session token (1 to 512 of A–Z a–z 0–9 _ -)"}, refused, "401, cookies stay"},
		{[]string{"cookies, with an unsafe method and from another site"}, refused, "403, cookies stay"},
		{[]string{"a session JWT; a session token may come beside it in the cookies"}, further, "→ 2a"},
		{[]string{"a session token"}, further, "→ 2b"},
	}}
	jwtCard = card{"2a  A session JWT", "Stytch is never asked about one that does not verify", []row{
		{[]string{"bad signature, foreign, or not a", "session's; a token beside it"}, further, "→ 2b"},
		{[]string{"the same without a token"}, refused, "401, cookies stay"},
		{[]string{"its key is not in the key set,", "which was just fetched again"}, further, "as above"},
		{[]string{"its key is not known and the set", "cannot be had; a token beside it"}, further, "→ 2b"},
		{[]string{"the same without a token"}, unknown, "503, cookies stay"},
		{[]string{"its session was revoked here"}, refused, "401, cookies cleared"},
		{[]string{"in its time, at most 5 min old"}, session, "session"},
		{[]string{"past its time"}, further, "→ 3"},
	}}
	tokenCard = card{"2b  A session token", "opaque: only Stytch knows what it is worth", []row{
		{[]string{"revoked here, or Stytch said no", "less than 60 s ago"}, refused, "401, cookies cleared"},
		{[]string{"Stytch said yes", "less than 30 s ago"}, session, "session"},
		{[]string{"never seen before, beyond the", "budget of 50 a second"}, unknown, "503, cookies stay"},
		{[]string{"otherwise"}, further, "→ 3"},
	}}
	stytch = card{"3  Stytch is asked", "with the token if there is one, else with the JWT; one call for all who wait; its answer about a JWT serves 10 s", []row{
		{[]string{"the session is over: one of nine error types and nothing else"}, refused, "401, cookies cleared"},
		{[]string{"it lives, and the signed JWT beside the token is another user's"}, refused, "401, cookies cleared"},
		{[]string{"it lives"}, session, "session, new cookies"},
		{[]string{"429, 5xx, no answer, one that makes no sense, or our own secret is refused"}, unknown, "503, cookies stay"},
	}}
	guard = card{"4  A guard asks for more than a session", "Load goes on without a session; RequireSession and the others refuse what 1 to 3 refused", []row{
		{[]string{"met, and Fresh is not asked for"}, session, "the handler runs"},
		{[]string{"not met by a session from a JWT or a cache, or Fresh: Stytch is asked; now met"}, session, "the handler runs"},
		{[]string{"Stytch cannot be asked"}, unknown, "503, cookies stay"},
		{[]string{"still not met"}, refused, "401, step-up"},
	}}
)

// The measures, in pixels.
const (
	width    = 940
	margin   = 16
	gap      = 16
	pad      = 16
	lineStep = 19
	rowPad   = 9
	badge    = 164
	fontSize = 14
)

// picture returns the whole SVG.
func picture() string {
	var body strings.Builder
	y := margin
	put := func(x, w int, c card) int {
		b, h := c.draw(x, y, w)
		body.WriteString(b)
		return h
	}
	half := (width - 2*margin - gap) / 2
	y += put(margin, width-2*margin, carrier) + gap
	left := put(margin, half, jwtCard)
	right := put(margin+half+gap, half, tokenCard)
	y += max(left, right) + gap
	y += put(margin, width-2*margin, stytch) + gap
	y += put(margin, width-2*margin, guard) + margin
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title desc">
<title id="title">How a request is decided</title>
<desc id="desc">Four steps: what carries a credential, the session JWT or session token, what Stytch answers, and what a guard asks for. In each step the first row that fits decides. Times and rates are the defaults.</desc>
<style>
svg { --back: #ffffff; --card: #f6f8fa; --line: #d0d7de; --text: #1f2328; --soft: #59636e; --good: #116329; --goodback: #dafbe1; --bad: #a40e26; --badback: #ffebe9; --wait: #7d4e00; --waitback: #fff8c5; --next: #0550ae; --nextback: #ddf4ff }
@media (prefers-color-scheme: dark) {
svg { --back: #0d1117; --card: #151b23; --line: #3d444d; --text: #f0f6fc; --soft: #9198a1; --good: #7ee787; --goodback: #14351f; --bad: #ffa198; --badback: #421a1d; --wait: #f2cc60; --waitback: #3a3013; --next: #79c0ff; --nextback: #15294a }
}
text { font: %dpx system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: var(--text) }
.title { font-weight: 600; font-size: 15px }
.note { fill: var(--soft); font-size: 12.5px }
.says { font-weight: 600; font-size: 13px; text-anchor: middle }
.back { fill: var(--back) }
.card { fill: var(--card); stroke: var(--line) }
.rule { stroke: var(--line) }
.session rect { fill: var(--goodback) } .session text { fill: var(--good) }
.refused rect { fill: var(--badback) } .refused text { fill: var(--bad) }
.unknown rect { fill: var(--waitback) } .unknown text { fill: var(--wait) }
.further rect { fill: var(--nextback) } .further text { fill: var(--next) }
</style>
<rect class="back" width="%d" height="%d" rx="10"/>
%s</svg>
`, width, y, width, y, fontSize, width, y, body.String())
}

// draw returns the card at a place, and its height.
func (c card) draw(x, y, w int) (string, int) {
	var b strings.Builder
	text := func(class string, x, y int, s string) {
		fmt.Fprintf(&b, "<text class=%q x=\"%d\" y=\"%d\" xml:space=\"preserve\">%s</text>\n", class, x, y, html.EscapeString(s))
	}
	at := y + pad + 12
	text("title", x+pad, at, c.title)
	at += 20
	text("note", x+pad, at, c.note)
	at += 12
	for _, r := range c.rows {
		h := len(r.when)*lineStep + 2*rowPad
		fmt.Fprintf(&b, "<line class=\"rule\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", x, at, x+w, at)
		for i, line := range r.when {
			text("when", x+pad, at+rowPad+14+i*lineStep, line)
		}
		left, mid := x+w-pad-badge, at+h/2
		fmt.Fprintf(&b, "<g class=%q><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"24\" rx=\"12\"/>", r.then, left, mid-12, badge)
		fmt.Fprintf(&b, "<text class=\"says\" x=\"%d\" y=\"%d\">%s</text></g>\n", left+badge/2, mid+5, html.EscapeString(r.says))
		at += h
	}
	h := at - y
	return fmt.Sprintf("<rect class=\"card\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"8\"/>\n", x, y, w, h) + b.String(), h
}
