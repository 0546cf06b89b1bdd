package dashboard

import (
	"fmt"
	"testing"
)

// TestGuessesThrowNobodyOut: passwords that are being guessed take no room from those that
// have a session, and all together are bounded.
func TestGuessesThrowNobodyOut(t *testing.T) {
	b := newBasicLogins()
	for i := range maxBasic / 2 {
		id := b.idOf("grafana", fmt.Sprint("right", i))
		l, _ := b.find(id)
		b.opened(id, l, fmt.Sprint("token", i))
	}
	for i := range 10 * maxBasic { // none of which the hub has answered yet
		b.find(b.idOf("grafana", fmt.Sprint("guess", i)))
	}
	if n := len(b.known); n != maxBasic {
		t.Errorf("%d are remembered", n)
	}
	for i := range maxBasic / 2 {
		if _, token := b.find(b.idOf("grafana", fmt.Sprint("right", i))); token != fmt.Sprint("token", i) {
			t.Errorf("session %d is %q", i, token)
		}
	}
	for i := range 2 * maxBasic {
		id := b.idOf("others", fmt.Sprint(i))
		l, _ := b.find(id)
		b.opened(id, l, "token")
	}
	if n := len(b.known); n != maxBasic {
		t.Errorf("%d with sessions are remembered", n)
	}
}
