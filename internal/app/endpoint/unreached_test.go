package endpoint

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
)

func TestUnreached(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"refused": {&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, "is hub1:5000 its address"},
		"no name": {&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "hub1"}}, "does not know that name"},
		"other":   {errors.New("the token has no use left"), "the token has no use left"},
	} {
		if got := unreached("hub1:5000", test.err); !errors.Is(got, test.err) || !strings.Contains(got.Error(), test.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
