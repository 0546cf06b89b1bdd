package dashboard

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// describeLive writes the WebSocket into the OpenAPI description: OpenAPI knows
// no WebSockets, so it is a GET that switches protocols, with the messages in
// extensions and their shapes among the schemas.
func describeLive(api huma.API) {
	registry := api.OpenAPI().Components.Schemas
	ref := func(v any, hint string) *huma.Schema { return registry.Schema(reflect.TypeOf(v), true, hint) }
	op := operation(http.MethodGet, livePath, "live", "The live stream, a WebSocket", "live", viewer())
	op.Description += " Events, agents, overview and series as they change. A tab subscribes to topics with messages of its own."
	op.Responses = map[string]*huma.Response{"101": {Description: "The connection is a WebSocket from now on."}}
	op.Extensions = map[string]any{
		"x-websocket-client": ref(clientMessage{}, "LiveClientMessage"),
		"x-websocket-server": &huma.Schema{OneOf: []*huma.Schema{
			ref(eventsMessage{}, "LiveEvents"), ref(gapMessage{}, "LiveGap"), ref(agentsMessage{}, "LiveAgents"),
			ref(overviewMessage{}, "LiveOverview"), ref(seriesMessage{}, "LiveSeries"),
			ref(errorMessage{}, "LiveError"), ref(pongMessage{}, "LivePong"), ref(hubMessage{}, "LiveHub"),
		}},
	}
	api.OpenAPI().AddOperation(&op)
}
