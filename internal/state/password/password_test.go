package password_test

import (
	"context"
	"errors"
	"testing"

	"github.com/amoskys/amoskys/internal/state/password"
)

func cheap() password.Params { return password.Params{MemoryKiB: 64, Passes: 1, Lanes: 1} }

func TestHashAndVerify(t *testing.T) {
	h := password.New(cheap(), 1)
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if hash == again {
		t.Error("two hashes share a salt")
	}
	for plain, want := range map[string]bool{"correct horse": true, "Correct horse": false, "": false} {
		if got, err := h.Verify(t.Context(), hash, plain); err != nil || got != want {
			t.Errorf("%q: %v, %v", plain, got, err)
		}
	}
	if ok, err := h.Verify(t.Context(), h.Decoy(), "correct horse"); ok || err != nil {
		t.Errorf("decoy: %v, %v", ok, err)
	}
	if h.Outdated(hash) || !password.New(password.Recommended(), 1).Outdated(hash) {
		t.Error("Outdated does not tell the costs apart")
	}
}

func TestVerifyRefuses(t *testing.T) {
	h := password.New(cheap(), 1)
	for _, bad := range []string{
		"",
		"$2b$10$abcdefghijklmnopqrstuv",
		"$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHRzYWx0$c29tZWtleXNvbWVrZXlzb21la2V5",
		"$argon2id$v=19$m=99999999,t=1,p=1$c29tZXNhbHRzYWx0$c29tZWtleXNvbWVrZXlzb21la2V5",
		"$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHRzYWx0$c29tZWtleXNvbWVrZXlzb21la2V5",
		"$argon2id$v=19$m=64,t=1,p=9$c29tZXNhbHRzYWx0$c29tZWtleXNvbWVrZXlzb21la2V5",
		"$argon2id$v=19$m=64,t=1,p=1$!$c29tZWtleXNvbWVrZXlzb21la2V5",
	} {
		if _, err := h.Verify(t.Context(), bad, "x"); !errors.Is(err, password.ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestHasherTurnsAwayAndGivesUp(t *testing.T) {
	h := password.New(cheap(), 1)
	release := password.Hold(h)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Hash(cancelled, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("while another runs: %v", err)
	}
	release()
	if _, err := h.Hash(t.Context(), "x"); err != nil {
		t.Errorf("after it: %v", err)
	}
	for range 9 {
		defer password.Queue(h)()
	}
	if _, err := h.Hash(t.Context(), "x"); !errors.Is(err, password.ErrBusy) {
		t.Errorf("with a full queue: %v", err)
	}
}

func TestRandom(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		p := password.Random()
		if len(p) != 24 || seen[p] {
			t.Fatalf("random password %q", p)
		}
		seen[p] = true
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzYWx0$c29tZWtleXNvbWVrZXlzb21la2V5")
	f.Add("$argon2id$v=19$m=,t=1,p=1$$")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, encoded string) {
		p, err := password.Decode(encoded)
		if err == nil && (p.MemoryKiB > 1<<20 || p.Passes > 64 || p.Lanes == 0) {
			t.Errorf("%q asks for %+v", encoded, p)
		}
	})
}
