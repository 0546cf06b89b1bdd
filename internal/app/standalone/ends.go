package standalone

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/amoskys/amoskys/internal/config"
)

// ends is run/ended.json: how the roles of an up ended, for the down that waits for it.
type ends struct {
	process // the up

	Roles []roleEnd `json:"roles"`
}

// roleEnd is how one role ended.
type roleEnd struct {
	Name string `json:"name"`
	// Says is what people are told of it: of one that ended as it should what it left,
	// else how it ended.
	Says string `json:"says"`
	Bad  bool   `json:"bad"` // it did not end as it should
}

// ends says how the roles ended that were started.
func (s *system) ends() ends {
	out := ends{process: processOf("up", os.Getpid())}
	for _, r := range s.roles {
		st := r.child.Status()
		switch {
		case r.cancel == nil: // was never started
		case st.LastExit != nil && (st.LastExit.Code != 0 || st.LastExit.Signal != ""):
			out.Roles = append(out.Roles, roleEnd{Name: r.Name, Says: st.LastExit.String(), Bad: true})
		case r.Stopped != "":
			out.Roles = append(out.Roles, roleEnd{Name: r.Name, Says: r.Stopped})
		}
	}
	return out
}

// recovered is what is true of the log of a hub that was cut short.
const recovered = "what was acknowledged is on disk, and the next start recovers it"

// text is a line for people.
func (e *ends) text() string {
	words := append(make([]string, 0, 1+len(e.Roles)), "stopped")
	for _, r := range e.Roles {
		says := r.Says
		if r.Bad {
			says = r.Name + " was " + strings.TrimPrefix(says, "was ")
			if strings.HasPrefix(r.Says, "exit code") {
				says = r.Name + " ended with " + r.Says
			}
			if r.Name == "hub" {
				says += ": " + recovered
			}
		}
		words = append(words, says)
	}
	return strings.Join(words, "; ")
}

func endsPath(home config.Home) string { return filepath.Join(home.Run(), "ended.json") }

func (e *ends) write(home config.Home) error {
	text, err := json.MarshalIndent(e, "", "  ")
	if err == nil {
		err = os.WriteFile(endsPath(home), append(text, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("write how all ended: %w", err)
	}
	return nil
}

// readEnds reads how an up ended; known is false when it did not say.
func readEnds(home config.Home, up process) (e ends, known bool) {
	text, err := os.ReadFile(endsPath(home))
	if err != nil || json.Unmarshal(text, &e) != nil || e.process != up {
		return ends{}, false
	}
	return e, true
}
