package hub

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/amoskys/amoskys/internal/identity"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// otherServices stands for the services that live elsewhere.
func otherServices(o *Options, _ *StorageOptions) {
	o.Register = func(r grpc.ServiceRegistrar) {
		pb.RegisterFleetServer(r, pb.UnimplementedFleetServer{})
		pb.RegisterQueryServer(r, pb.UnimplementedQueryServer{})
		pb.RegisterAccountsServer(r, pb.UnimplementedAccountsServer{})
		pb.RegisterEnrollmentServer(r, pb.UnimplementedEnrollmentServer{})
	}
}

// TestRoles calls every method of every service with every role, and one that
// nobody has. What the table forbids must be refused, and nothing else.
func TestRoles(t *testing.T) {
	h := startHub(t, "", otherServices)
	may := map[string]string{
		"/amoskys.v1.EventBus/PublishEvent":                              "agent",
		"/amoskys.v1.EventBus/Publish":                                   "agent",
		"/amoskys.v1.EventBus/Subscribe":                                 "subscriber dashboard operator",
		"/amoskys.v1.Fleet/Control":                                      "node",
		"/amoskys.v1.Fleet/ListAgents":                                   "dashboard operator",
		"/amoskys.v1.Fleet/WatchAgents":                                  "dashboard operator",
		"/amoskys.v1.Fleet/CommandAgent":                                 "dashboard operator",
		"/amoskys.v1.Enrollment/CreateToken":                             "dashboard operator",
		"/amoskys.v1.Enrollment/ListTokens":                              "dashboard operator",
		"/amoskys.v1.Enrollment/RevokeToken":                             "dashboard operator",
		"/amoskys.v1.Query/Status":                                       "dashboard operator",
		"/amoskys.v1.Query/SearchEvents":                                 "dashboard operator",
		"/amoskys.v1.Query/Event":                                        "dashboard operator",
		"/amoskys.v1.Query/Series":                                       "dashboard operator",
		"/amoskys.v1.Query/Metrics":                                      "dashboard operator",
		"/amoskys.v1.Accounts/Login":                                     "dashboard operator",
		"/amoskys.v1.Accounts/Session":                                   "dashboard operator",
		"/amoskys.v1.Accounts/Logout":                                    "dashboard operator",
		"/amoskys.v1.Accounts/ChangePassword":                            "dashboard operator",
		"/grpc.health.v1.Health/Check":                                   "eventbus agent node dashboard operator subscriber",
		"/grpc.health.v1.Health/List":                                    "eventbus agent node dashboard operator subscriber",
		"/grpc.health.v1.Health/Watch":                                   "eventbus agent node dashboard operator subscriber",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      "operator",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "operator",
		"/amoskys.v1.EventBus/Nonsense":                                  "",
		"/some.other.Service/Method":                                     "",
	}
	for service, info := range h.server.GetServiceInfo() {
		for _, m := range info.Methods {
			if _, ok := may["/"+service+"/"+m.Name]; !ok {
				t.Errorf("method /%s/%s is served and not in this table", service, m.Name)
			}
		}
	}
	for _, role := range identity.Roles() {
		files := issue(t, h.home, identity.ID{Role: role, Name: "someone"}, time.Hour)
		conn := dialFiles(t, h.Addr().String(), files)
		for method, roles := range may {
			code := call(t, conn, method)
			allowed := slices.Contains(strings.Fields(roles), string(role))
			if allowed == (code == codes.PermissionDenied) {
				t.Errorf("%s as %s: %s", method, role, code)
			}
		}
	}
	if !strings.Contains(h.log.String(), "reason=wrong_role") {
		t.Error("nothing of it is in the log")
	}
}

// call opens any method as a stream, sends an empty message and returns the code.
func call(t *testing.T, conn *grpc.ClientConn, method string) codes.Code {
	t.Helper()
	s, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return status.Code(err)
	}
	_ = s.SendMsg(&emptypb.Empty{})
	_ = s.CloseSend()
	err = s.RecvMsg(&emptypb.Empty{})
	if err == nil || errors.Is(err, io.EOF) {
		return codes.OK
	}
	return status.Code(err)
}

func TestAgentPublishesAsItselfAlone(t *testing.T) {
	h := startHub(t, "")
	bound := issue(t, h.home, identity.ID{Role: identity.RoleAgent, Name: "host-1/proc_agent"}, time.Hour)
	conn := dialFiles(t, h.Addr().String(), bound)

	named := func(agent string) []byte {
		return encode(t, &pb.Event{Type: "a.b", Agent: &pb.Agent{Id: agent}})
	}
	s := publishStream(t, conn, "")
	ack := exchange(t, s, &pb.PublishRequest{Events: [][]byte{named("proc_agent"), named("flow_agent"), makeEvent(t, "")}})
	if ack.GetAccepted() != 2 || len(ack.GetRefused()) != 1 || ack.GetRefused()[0].GetReason() != pb.RefusalReason_REFUSAL_REASON_WRONG_AGENT {
		t.Errorf("a bound certificate without a name on the stream: %v", ack)
	}
	s = publishStream(t, conn, "flow_agent")
	_ = s.Send(&pb.PublishRequest{Events: [][]byte{named("flow_agent")}})
	if _, err := s.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a stream that names another agent: %v", err)
	}
	_, err := pb.NewEventBusClient(conn).PublishEvent(t.Context(), &pb.Event{
		Id: sixteen(1), Time: now(), Type: "a.b", Agent: &pb.Agent{Id: "flow_agent"},
	})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "WRONG_AGENT") {
		t.Errorf("a single event of another agent: %v", err)
	}
}
