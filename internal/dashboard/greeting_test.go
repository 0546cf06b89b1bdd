package dashboard

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2/humatest"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// The worked example of docs/recipes/add-a-page.md, which shows it.

// Greeting is what the page shows.
type Greeting struct {
	Text string `json:"text" doc:"What to say."`
}

type greetingInput struct {
	Name string `query:"name" maxLength:"64" doc:"Whom to greet."`
}

// greeting answers GET /api/greeting.
func (*Server) greeting(_ context.Context, in *greetingInput) (Greeting, error) {
	if in.Name == "" {
		return Greeting{}, problem(http.StatusBadRequest, "say whom to greet")
	}
	return Greeting{"Hello, " + in.Name}, nil
}

func greetingRoute() route {
	return route{
		http.MethodGet, "/api/greeting", "greeting", "A greeting", "greeting",
		access{role: pb.Role_ROLE_VIEWER},
		[]int{http.StatusBadRequest},
		answers((*Server).greeting),
	}
}

// greetingMessage carries the greeting of the moment to a tab.
type greetingMessage struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Greeting
}

// newGreetingTopic follows the greeting. All tabs share one pollFeed, which asks
// once a second.
func newGreetingTopic(s *Server, user string, m clientMessage) (topic, *errorMessage) {
	start := func() *pollFeed[Greeting] {
		return newPollFeed(func() time.Duration { return time.Second }, func(ctx context.Context) (Greeting, bool, error) {
			now, err := s.greeting(ctx, &greetingInput{Name: "all"})
			return now, true, err
		})
	}
	return &pollTopic[Greeting]{
		feeds: s.feeds, user: user, key: m.Topic, start: start,
		message: func(now Greeting) any { return greetingMessage{m.ID, m.Topic, now} },
	}, nil
}

func greetingTopic() liveTopic {
	return liveTopic{"greeting", newGreetingTopic, []liveMessage{{"LiveGreeting", greetingMessage{}}}}
}

func TestGreetingIsOneRoute(t *testing.T) {
	_, api := humatest.New(t)
	r := greetingRoute()
	r.register(&Server{}, api)
	for target, want := range map[string]int{"/api/greeting?name=Ada": http.StatusOK, "/api/greeting": http.StatusBadRequest} {
		w := httptest.NewRecorder()
		api.Adapter().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
		if w.Code != want {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
		var got Greeting
		if want == http.StatusOK && (json.Unmarshal(w.Body.Bytes(), &got) != nil || got.Text != "Hello, Ada") {
			t.Errorf("%s: %s", target, w.Body)
		}
	}
	if api.OpenAPI().Paths["/api/greeting"].Get.OperationID != "greeting" {
		t.Error("it is not in the description")
	}
}

func TestGreetingIsOneTopic(t *testing.T) {
	s := &Server{feeds: newFeeds()}
	one, refused := greetingTopic().open(s, "ada", clientMessage{ID: "7", Topic: "greeting"})
	if refused != nil {
		t.Fatal(refused)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changed := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() { ended <- one.run(ctx, func() { changed <- struct{}{} }) }()
	<-changed
	if m := one.take()[0].(greetingMessage); m.ID != "7" || m.Text != "Hello, all" {
		t.Errorf("message %+v", m)
	}
	cancel()
	<-ended
	s.feeds.wait()
}
