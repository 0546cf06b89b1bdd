package ports

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
)

func TestCheckNamesTheHolder(t *testing.T) {
	for _, network := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", network)
		if err != nil {
			t.Logf("%s: %v", network, err)
			continue
		}
		err = Check(t.Context(), l.Addr().String())
		taken, ok := errors.AsType[*TakenError](err)
		if !ok {
			t.Fatalf("got %v, want a TakenError", err)
		}
		if runtime.GOOS == "linux" && (taken.Holder.PID != os.Getpid() || taken.Holder.Name == "") {
			t.Errorf("holder is %v, want this process %d", taken.Holder, os.Getpid())
		}
		_, again := (&net.ListenConfig{}).Listen(t.Context(), "tcp", l.Addr().String())
		if explained, ok := errors.AsType[*TakenError](Explain(fmt.Errorf("listen: %w", again))); !ok || *explained != *taken {
			t.Errorf("%v is explained as %v, want %v", again, explained, taken)
		}
		l.Close()
		if err := Check(t.Context(), l.Addr().String()); err != nil {
			t.Errorf("after closing: %v", err)
		}
	}
}

func TestCheckRefusesWhatIsNoAddress(t *testing.T) {
	for _, addr := range []string{"", "localhost", "localhost:x", "192.0.2.1:1"} {
		if Check(t.Context(), addr) == nil {
			t.Errorf("%q was free", addr)
		}
	}
}

func TestOtherErrorsStayAsTheyAre(t *testing.T) {
	for _, err := range []error{nil, os.ErrPermission, &net.OpError{Op: "dial", Err: os.ErrPermission}} {
		if got := Explain(err); !errors.Is(got, err) || (got == nil) != (err == nil) {
			t.Errorf("%v became %v", err, got)
		}
	}
}
