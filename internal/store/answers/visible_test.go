package answers_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
	"github.com/amoskys/amoskys/internal/store/answers"
	"github.com/amoskys/amoskys/internal/store/vlogs"
)

// TestAnEngineThatHangsHoldsNobodyBeyondTheirTime: one caller has the engine show what it
// has, which it does not do; another, who waits for that, leaves when it wants to, and a
// third has the engine asked again.
func TestAnEngineThatHangsHoldsNobodyBeyondTheirTime(t *testing.T) {
	asked := make(chan struct{}, 10)
	engine := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/internal/force_flush" {
			asked <- struct{}{}
		}
		<-r.Context().Done()
	}))
	t.Cleanup(engine.Close)
	client := vlogs.New(engine.URL)
	t.Cleanup(client.Close)
	var away atomic.Bool
	s := answers.New(answers.Options{
		Engine: client, Status: func() *pb.StoreStatus { return &pb.StoreStatus{State: "ok", NextOffset: 5} },
		Away: func() string { return map[bool]string{true: "it hangs"}[away.Load()] },
	})

	search := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := s.SearchEvents(ctx, &pb.SearchEventsRequest{NoTotal: true})
			done <- err
		}()
		return done
	}
	first, leave := context.WithCancel(t.Context())
	one := search(first)
	<-asked
	second, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := <-search(second); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("who waits for another gets %v", err)
	}
	third, end := context.WithCancel(t.Context())
	two := search(third)
	leave()
	if err := <-one; status.Code(err) != codes.Canceled {
		t.Errorf("who left gets %v", err)
	}
	<-asked // by the third
	end()
	away.Store(true) // once that is known nobody waits
	if err := <-search(t.Context()); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "it hangs") {
		t.Errorf("who asks then gets %v", err)
	}
	if err := <-two; !errors.Is(third.Err(), context.Canceled) || status.Code(err) != codes.Canceled {
		t.Errorf("the third gets %v", err)
	}
}
