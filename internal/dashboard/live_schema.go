package dashboard

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// describeLive writes the WebSocket into the OpenAPI description: OpenAPI knows
// no WebSockets, so it is a GET that switches protocols, with the messages in
// extensions and their shapes among the schemas.
func describeLive(api huma.API) {
	registry := api.OpenAPI().Components.Schemas
	ref := func(v any, hint string) *huma.Schema { return registry.Schema(reflect.TypeOf(v), true, hint) }
	op := operation(http.MethodGet, livePath, "live", "The live stream, a WebSocket", "live", access{role: pb.Role_ROLE_VIEWER})
	op.Description += " Events, agents, overview and series as they change. A tab subscribes to topics with messages of its own."
	op.Responses = map[string]*huma.Response{"101": {Description: "The connection is a WebSocket from now on."}}
	var messages []*huma.Schema
	for _, t := range liveTopics() {
		for _, m := range t.sends {
			messages = append(messages, ref(m.body, m.name))
		}
	}
	messages = append(messages, ref(helloMessage{}, "LiveHello"), ref(errorMessage{}, "LiveError"), ref(pongMessage{}, "LivePong"), ref(hubMessage{}, "LiveHub"))
	op.Extensions = map[string]any{
		"x-websocket-client": ref(clientMessage{}, "LiveClientMessage"),
		"x-websocket-server": &huma.Schema{OneOf: messages},
	}
	api.OpenAPI().AddOperation(&op)
}
