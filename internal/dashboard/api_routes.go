package dashboard

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// route is one call of the API. One entry in apiRoutes is all that it takes: who
// may call it, its description and its handler.
type route struct {
	method, path, id, summary, tag string
	who                            access
	// errors are those that it answers with beside what all calls do.
	errors []int
	// serve registers its handler: answers or responds makes it.
	serve func(s *Server, api huma.API, op huma.Operation)
}

// apiRoutes are all there are.
func apiRoutes() []route {
	const get, post, put, remove = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	anyone, viewer, admin := access{}, access{role: pb.Role_ROLE_VIEWER}, access{role: pb.Role_ROLE_ADMIN}
	analyst := access{role: pb.Role_ROLE_ANALYST}
	badRequest := []int{http.StatusBadRequest}
	agentRefused := []int{http.StatusNotFound, http.StatusConflict, http.StatusBadGateway, http.StatusGatewayTimeout}
	savedRefused := []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict}
	unconfirmed := access{role: pb.Role_ROLE_VIEWER, stale: true}
	start, stop, restart := pb.AgentCommand_AGENT_COMMAND_START, pb.AgentCommand_AGENT_COMMAND_STOP, pb.AgentCommand_AGENT_COMMAND_RESTART
	return []route{
		{post, "/api/login", "login", "Sign in", "session", anyone, []int{http.StatusUnauthorized, http.StatusTooManyRequests}, responds((*Server).login)},
		{get, "/api/session", "session", "Who is signed in", "session", unconfirmed, nil, answers((*Server).present)},
		{post, "/api/logout", "logout", "Sign out", "session", viewer, nil, responds((*Server).logout)},
		{post, "/api/password", "changePassword", "Change the own password", "session", viewer, []int{http.StatusBadRequest, http.StatusTooManyRequests}, responds((*Server).changePassword)},
		{get, "/api/health", "health", "Whether this dashboard serves, for load balancers", "session", anyone, nil, answers((*Server).health)},

		{get, "/api/overview", "overview", "Is everything healthy", "overview", unconfirmed, badRequest, answers((*Server).presentOverview)},

		{get, "/api/agents/status", "agents", "Every agent and how it is", "agents", viewer, nil, answers((*Server).listAgents)},
		{post, "/api/agents/{id}/start", "startAgent", "Start an agent", "agents", admin, agentRefused, answers(agentCommand(start))},
		{post, "/api/agents/{id}/stop", "stopAgent", "Stop an agent", "agents", admin, agentRefused, answers(agentCommand(stop))},
		{post, "/api/agents/{id}/restart", "restartAgent", "Restart an agent", "agents", admin, agentRefused, answers(agentCommand(restart))},
		{post, "/api/hosts/{host}/forget", "forgetHost", "Take a host that is gone, and its agents, off what is shown", "agents", admin, []int{http.StatusNotFound, http.StatusConflict}, answers((*Server).forgetHost)},
		{post, "/api/tokens", "makeToken", "Make a token with which one host joins within the hour", "agents", admin, []int{http.StatusBadRequest, http.StatusConflict}, answers((*Server).makeToken)},
		{get, "/api/agents/{id}/logs", "agentLogs", "The last lines of an agent's log", "agents", viewer, agentRefused, answers((*Server).agentLogs)},
		{get, "/api/agents/{id}/tasks", "agentTasks", "What an agent can be asked to do", "agents", viewer, agentRefused, answers((*Server).agentTasks)},
		{post, "/api/agents/{id}/tasks/{task}", "runTask", "Run a task; the answer is lines of its progress", "agents", analyst, agentRefused, responds((*Server).runTask)},
		{get, "/api/agents/{id}/results/{run}", "taskResult", "The result of a task, which its agent keeps for an hour", "agents", analyst, agentRefused, responds((*Server).taskResult)},
		{post, "/api/packets", "savePackets", "Packets of a flow that an agent still has, as a pcap file", "agents", analyst, slices.Concat(agentRefused, []int{http.StatusBadRequest, http.StatusTooManyRequests}), described(packetsDescription, patient((*Server).savePackets))},

		{get, "/api/events", "searchEvents", "Search events, newest first", "events", viewer, badRequest, answers((*Server).searchEvents)},
		{get, "/api/events/{offset}", "event", "One event and what surrounds it", "events", viewer, []int{http.StatusNotFound}, answers((*Server).oneEvent)},
		{get, exportPath, "exportEvents", "Every event that matches, as a file", "events", viewer, []int{http.StatusBadRequest, http.StatusTooManyRequests}, described(exportDescription, responds((*Server).exportEvents))},
		{get, "/api/query/rows", "queryRows", "The table that a query with pipes makes", "events", viewer, badRequest, answers((*Server).rows)},
		{get, "/api/query/complete", "completeQuery", "What can stand at a place of a query", "events", viewer, nil, answers((*Server).completeQuery)},
		{get, "/api/queries", "savedQueries", "The own saved queries and all shared ones, by name", "events", viewer, []int{http.StatusForbidden}, answers((*Server).savedQueries)},
		{post, "/api/queries", "saveQuery", "Save a query, to share it as an analyst", "events", viewer, savedRefused, long(maxSavedBody, answers((*Server).saveQuery))},
		{put, "/api/queries/{id}", "changeQuery", "Change a saved query", "events", viewer, savedRefused, long(maxSavedBody, answers((*Server).changeQuery))},
		{remove, "/api/queries/{id}", "deleteQuery", "Delete a saved query", "events", viewer, []int{http.StatusNotFound, http.StatusConflict}, responds((*Server).deleteQuery)},
		{get, "/api/fields", "fields", "Fields for the query bar, and how many events have them", "events", viewer, badRequest, answers((*Server).fields)},
		{get, "/api/fields/{name}/values", "fieldValues", "Values of a field, the most frequent first", "events", viewer, badRequest, answers((*Server).fieldValues)},
		{get, "/api/store", "store", "How the store is, and what it holds of each day", "events", viewer, nil, answers((*Server).store)},
		{get, "/api/backup", "backup", "The last backup that is whole", "overview", viewer, nil, answers((*Server).backup)},

		{get, "/api/devices", "devices", "What is on the network, those seen last first", "devices", viewer, badRequest, answers((*Server).listDevices)},
		{get, "/api/devices/topology", "deviceTopology", "Which devices are linked with which", "devices", viewer, []int{http.StatusNotFound}, answers((*Server).topology)},
		{get, "/api/devices/where", "deviceWhere", "Where an address or a name is plugged in", "devices", viewer, []int{http.StatusBadRequest, http.StatusNotFound}, answers((*Server).whereIs)},
		{get, "/api/devices/export", "exportDevices", "Every device that matches, as a file", "devices", viewer, []int{http.StatusBadRequest, http.StatusTooManyRequests}, described(deviceExportDescription, responds((*Server).exportDevices))},
		{get, "/api/devices/{uid}", "device", "One device, its ports, interfaces and history", "devices", viewer, []int{http.StatusNotFound}, answers((*Server).oneDevice)},
		{post, "/api/devices/marks", "markDevices", "Say of devices that they are known, whose they are, and tag them", "devices", analyst, []int{http.StatusBadRequest, http.StatusConflict}, long(maxMarksBody, answers((*Server).markDevices))},

		{get, "/api/series", "series", "Recent time series", "metrics", viewer, badRequest, answers((*Server).series)},
		{get, "/api/metrics", "metrics", "The hub's own metrics, and the latest readings of all agents", "metrics", viewer, nil, answers((*Server).metrics)},
	}
}

// register adds the route to the API.
func (r *route) register(s *Server, api huma.API) {
	op := operation(r.method, r.path, r.id, r.summary, r.tag, r.who)
	op.Errors = append(op.Errors, r.errors...)
	slices.Sort(op.Errors)
	r.serve(s, api, op)
}

// described adds to an operation what its summary has no room for.
func described(text string, serve func(*Server, huma.API, huma.Operation)) func(*Server, huma.API, huma.Operation) {
	return func(s *Server, api huma.API, op huma.Operation) {
		op.Description = text
		serve(s, api, op)
	}
}

// long lets an operation have a larger body, in bytes.
func long(body int64, serve func(*Server, huma.API, huma.Operation)) func(*Server, huma.API, huma.Operation) {
	return func(s *Server, api huma.API, op huma.Operation) {
		op.MaxBodyBytes = body
		serve(s, api, op)
	}
}

// answer wraps a body for huma.
type answer[T any] struct {
	Body T
}

// answers serves a handler whose answer is a body.
func answers[In, T any](handle func(*Server, context.Context, *In) (T, error)) func(*Server, huma.API, huma.Operation) {
	return responds(func(s *Server, ctx context.Context, in *In) (*answer[T], error) {
		body, err := handle(s, ctx, in)
		if err != nil {
			return nil, err
		}
		return &answer[T]{body}, nil
	})
}

// responds serves a handler whose answer has headers, or no body.
func responds[In, Out any](handle func(*Server, context.Context, *In) (*Out, error)) func(*Server, huma.API, huma.Operation) {
	return func(s *Server, api huma.API, op huma.Operation) {
		huma.Register(api, op, func(ctx context.Context, in *In) (*Out, error) {
			out, err := handle(s, ctx, in)
			if err != nil {
				return nil, s.asStatusError(err)
			}
			return out, nil
		})
	}
}
