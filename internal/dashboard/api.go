package dashboard

import (
	"context"
	"errors"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 16 << 10

// access says who may use an operation.
type access struct {
	// role is the least role; ROLE_UNSPECIFIED needs no session.
	role pb.Role
	// stale lets a session in that could not be confirmed, because the answer
	// says only that the hub is not there.
	stale bool
}

const accessKey = "access"

// routes builds the routes and the API.
func (s *Server) routes() (*http.ServeMux, huma.API) {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("AMOSKYS dashboard", apiVersion)
	config.Info.Description = "What the AMOSKYS web UI reads and does. Sign in with POST /api/login; every request but " +
		"GET then carries X-CSRF-Token from the session. The live stream is a WebSocket at /api/live."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.OpenAPIPath = "/api/openapi"
	config.DocsPath, config.SchemasPath = "", ""
	config.CreateHooks = nil // no $schema in answers
	config.Transformers = append(config.Transformers, withoutValues)
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"session": {Type: "apiKey", In: "cookie", Name: cookieName, Description: "Set by POST /api/login."},
	}
	api := humago.New(mux, config)
	api.UseMiddleware(s.authenticate)
	for _, r := range apiRoutes() {
		r.register(s, api)
	}
	describeLive(api)
	if model := api.OpenAPI().Components.Schemas.Map()["ErrorModel"]; model != nil {
		model.Properties["query_position"] = &huma.Schema{
			Type: huma.TypeInteger, Description: "Where a query has its fault, in UTF-16 units from 0.",
		}
		model.Properties["query_mend"] = api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Mend](), true, "Mend")
		model.Properties["away"] = &huma.Schema{
			Type: huma.TypeString, Description: "What does not answer, where that is not the hub: store.",
		}
	}
	mux.HandleFunc("GET /api/live", s.serveLive)
	mux.HandleFunc(prometheusPrefix, s.prometheus)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) {
		problem(http.StatusNotFound, "there is no such call; GET /api/openapi.json lists them").write(w)
	})
	mux.Handle("/", s.static)
	return mux, api
}

// apiVersion is that of the API, not of the program.
const apiVersion = "1"

// operation is what all operations have in common.
func operation(method, path, id, summary, tag string, who access) huma.Operation {
	op := huma.Operation{
		Method: method, Path: path, OperationID: id, Summary: summary, Tags: []string{tag},
		MaxBodyBytes: maxBody, Metadata: map[string]any{accessKey: who},
		Errors: []int{http.StatusServiceUnavailable},
	}
	if who.role != pb.Role_ROLE_UNSPECIFIED {
		op.Security = []map[string][]string{{"session": {}}}
		op.Errors = append(op.Errors, http.StatusUnauthorized)
		op.Description = "For role " + roleText(who.role) + " and up."
	}
	if who.role > pb.Role_ROLE_VIEWER || method != http.MethodGet {
		op.Errors = append(op.Errors, http.StatusForbidden)
	}
	return op
}

// authenticate finds the session of a request and decides on it.
func (s *Server) authenticate(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	ctx = huma.WithValue(ctx, requestKey{}, r)
	who, ok := ctx.Operation().Metadata[accessKey].(access)
	if !ok || who.role == pb.Role_ROLE_UNSPECIFIED {
		next(ctx)
		return
	}
	found, refusal := s.authorise(r.Context(), r, who)
	if refusal != nil {
		refusal.write(w)
		return
	}
	noteUser(r.Context(), found.user)
	next(huma.WithValue(ctx, sessionKey{}, found))
}

// authorise returns the session of a request, if it may do what it wants.
func (s *Server) authorise(ctx context.Context, r *http.Request, who access) (session, *Problem) {
	found, err := s.sessions.lookup(ctx, s.token(r))
	switch {
	case status.Code(err) == codes.Unauthenticated:
		return session{}, problem(http.StatusUnauthorized, "sign in first")
	case err != nil:
		return session{}, s.hubProblem(err)
	case found.stale && !who.stale:
		return session{}, s.hubProblem(status.Error(codes.Unavailable, "no connection"))
	case found.role < who.role:
		return session{}, problem(http.StatusForbidden, "this needs role "+roleText(who.role)+", and you have "+roleText(found.role))
	case r.Method != http.MethodGet && r.Method != http.MethodHead && !found.validCSRF(r):
		return session{}, problem(http.StatusForbidden, "the "+csrfHeader+" header is missing or wrong: take csrf_token from GET /api/session")
	}
	s.vouch(r, found.user)
	return found, nil
}

// asStatusError makes what huma understands of an error.
func (s *Server) asStatusError(err error) error {
	if _, ok := errors.AsType[huma.StatusError](err); ok {
		return err
	}
	return s.hubProblem(err)
}
