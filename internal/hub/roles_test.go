package hub

import (
	"context"
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
	"github.com/amoskys/amoskys/internal/identity/rights"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// otherServices stands for the services that live elsewhere.
func otherServices(o *Options, _ *StorageOptions) {
	o.Register = func(r grpc.ServiceRegistrar) {
		pb.RegisterFleetServer(r, pb.UnimplementedFleetServer{})
		pb.RegisterTasksServer(r, pb.UnimplementedTasksServer{})
		pb.RegisterQueryServer(r, pb.UnimplementedQueryServer{})
		pb.RegisterAccountsServer(r, pb.UnimplementedAccountsServer{})
		pb.RegisterEnrollmentServer(r, pb.UnimplementedEnrollmentServer{})
		pb.RegisterCertificatesServer(r, pb.UnimplementedCertificatesServer{})
		pb.RegisterLogServer(r, pb.UnimplementedLogServer{})
		pb.RegisterBackupsServer(r, pb.UnimplementedBackupsServer{})
		pb.RegisterSavedQueriesServer(r, pb.UnimplementedSavedQueriesServer{})
		pb.RegisterDeviceMarksServer(r, pb.UnimplementedDeviceMarksServer{})
	}
}

// TestRoles calls every method of every service with every role, and one that
// nobody has. What the table forbids must be refused, and nothing else.
func TestRoles(t *testing.T) {
	h := startHub(t, "", otherServices)
	may := map[string]string{
		"/amoskys.v1.EventBus/PublishEvent":                              "agent store analysis",
		"/amoskys.v1.EventBus/Publish":                                   "agent store analysis",
		"/amoskys.v1.EventBus/Subscribe":                                 "subscriber store analysis dashboard operator",
		"/amoskys.v1.Cursors/CommitCursor":                               "subscriber store analysis dashboard operator",
		"/amoskys.v1.Cursors/RemoveCursor":                               "operator",
		"/amoskys.v1.Fleet/Control":                                      "node",
		"/amoskys.v1.Fleet/ListAgents":                                   "dashboard operator",
		"/amoskys.v1.Fleet/WatchAgents":                                  "dashboard operator",
		"/amoskys.v1.Fleet/CommandAgent":                                 "dashboard operator",
		"/amoskys.v1.Tasks/ListTasks":                                    "dashboard operator",
		"/amoskys.v1.Tasks/RunTask":                                      "dashboard operator",
		"/amoskys.v1.Tasks/CancelTask":                                   "dashboard operator",
		"/amoskys.v1.Tasks/TaskResult":                                   "dashboard operator",
		"/amoskys.v1.Tasks/SendResult":                                   "node",
		"/amoskys.v1.SavedQueries/ListQueries":                           "dashboard operator",
		"/amoskys.v1.SavedQueries/SaveQuery":                             "dashboard operator",
		"/amoskys.v1.SavedQueries/ChangeQuery":                           "dashboard operator",
		"/amoskys.v1.SavedQueries/DeleteQuery":                           "dashboard operator",
		"/amoskys.v1.DeviceMarks/ListMarks":                              "dashboard operator",
		"/amoskys.v1.DeviceMarks/SetMarks":                               "dashboard operator",
		"/amoskys.v1.Enrollment/CreateToken":                             "dashboard operator",
		"/amoskys.v1.Enrollment/ListTokens":                              "dashboard operator",
		"/amoskys.v1.Enrollment/RevokeToken":                             "dashboard operator",
		"/amoskys.v1.Certificates/RenewCertificates":                     "agent node",
		"/amoskys.v1.Certificates/CheckCertificate":                      "agent node",
		"/amoskys.v1.Certificates/ListCertificates":                      "dashboard operator",
		"/amoskys.v1.Certificates/RevokeCertificates":                    "dashboard operator",
		"/amoskys.v1.Certificates/WatchRevoked":                          "store analysis",
		"/amoskys.v1.Certificates/AuthorityStatus":                       "dashboard operator",
		"/amoskys.v1.Query/Status":                                       "dashboard operator store",
		"/amoskys.v1.Query/SearchEvents":                                 "dashboard operator",
		"/amoskys.v1.Query/Event":                                        "dashboard operator",
		"/amoskys.v1.Query/Series":                                       "dashboard operator",
		"/amoskys.v1.Query/Metrics":                                      "dashboard operator store",
		"/amoskys.v1.Query/Rows":                                         "dashboard operator",
		"/amoskys.v1.Query/Export":                                       "dashboard operator",
		"/amoskys.v1.Query/FieldNames":                                   "dashboard operator",
		"/amoskys.v1.Query/FieldValues":                                  "dashboard operator",
		"/amoskys.v1.Accounts/Login":                                     "dashboard operator",
		"/amoskys.v1.Accounts/Session":                                   "dashboard operator",
		"/amoskys.v1.Accounts/Logout":                                    "dashboard operator",
		"/amoskys.v1.Accounts/ChangePassword":                            "dashboard operator",
		"/amoskys.v1.Accounts/ListUsers":                                 "operator",
		"/amoskys.v1.Accounts/AddUser":                                   "operator",
		"/amoskys.v1.Accounts/SetPassword":                               "operator",
		"/amoskys.v1.Accounts/SetRole":                                   "operator",
		"/amoskys.v1.Accounts/RemoveUser":                                "operator",
		"/amoskys.v1.Fleet/ForgetHost":                                   "dashboard operator",
		"/amoskys.v1.Log/AcceptLoss":                                     "operator",
		"/amoskys.v1.Log/TrustClock":                                     "operator",
		"/amoskys.v1.Backups/NoteBackup":                                 "operator",
		"/grpc.health.v1.Health/Check":                                   "eventbus agent node dashboard operator subscriber store analysis",
		"/grpc.health.v1.Health/List":                                    "eventbus agent node dashboard operator subscriber store analysis",
		"/grpc.health.v1.Health/Watch":                                   "eventbus agent node dashboard operator subscriber store analysis",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      "operator",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "operator",
		"/amoskys.v1.EventBus/Nonsense":                                  "",
		"/some.other.Service/Method":                                     "",
	}
	served := map[string]bool{}
	for service, info := range h.server.GetServiceInfo() {
		for _, m := range info.Methods {
			served["/"+service+"/"+m.Name] = true
			if _, ok := may["/"+service+"/"+m.Name]; !ok {
				t.Errorf("method /%s/%s is served and not in this table", service, m.Name)
			}
		}
	}
	for method := range rights.Hub() {
		if !served[method] {
			t.Errorf("the table of rights names %s, which is not served", method)
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

// TestRoleIsCheckedBeforeTheMessage: a call of a wrong role is refused by its
// headers, with nothing of its message read or waited for.
func TestRoleIsCheckedBeforeTheMessage(t *testing.T) {
	h := startHub(t, "", otherServices)
	conn := dialFiles(t, h.Addr().String(), issue(t, h.home, identity.ID{Role: identity.RoleSubscriber, Name: "someone"}, time.Hour))
	for _, method := range []string{
		pb.EventBus_PublishEvent_FullMethodName, pb.EventBus_Publish_FullMethodName, pb.Fleet_Control_FullMethodName,
		pb.Query_SearchEvents_FullMethodName, pb.Fleet_WatchAgents_FullMethodName, "/some.other.Service/Method",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
		if err == nil {
			err = s.RecvMsg(&emptypb.Empty{})
		}
		cancel()
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s with no message: %v", method, err)
		}
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
		return encode(t, &pb.Event{Type: "a.b", Host: &pb.Host{Name: "host-1"}, Agent: &pb.Agent{Id: agent}})
	}
	s := publishStream(t, conn, "")
	ack := exchange(t, s, &pb.PublishRequest{Events: [][]byte{named("proc_agent"), named("flow_agent"), named("")}})
	if ack.GetAccepted() != 2 || len(ack.GetRefused()) != 1 || ack.GetRefused()[0].GetReason() != pb.RefusalReason_REFUSAL_REASON_WRONG_AGENT {
		t.Errorf("a bound certificate without a name on the stream: %v", ack)
	}
	s = publishStream(t, conn, "flow_agent")
	_ = s.Send(&pb.PublishRequest{Events: [][]byte{named("flow_agent")}})
	if _, err := s.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a stream that names another agent: %v", err)
	}
	_, err := pb.NewEventBusClient(conn).PublishEvent(t.Context(), &pb.Event{
		Id: sixteen(1), Time: now(), Type: "a.b", Host: &pb.Host{Name: "host-1"}, Agent: &pb.Agent{Id: "flow_agent"},
	})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "WRONG_AGENT") {
		t.Errorf("a single event of another agent: %v", err)
	}
}

// TestStoresAndAnalysesFollow: both read the log, with a cursor that holds it, and
// what they find stands in it under their own name.
func TestStoresAndAnalysesFollow(t *testing.T) {
	h := startHub(t, "")
	exchange(t, publishStream(t, h.dial(t, "agent"), ""), &pb.PublishRequest{Events: [][]byte{makeEvent(t, "seen")}})
	for _, tt := range []struct {
		role    identity.Role
		finding string
	}{{identity.RoleStore, "finding.metric.high"}, {identity.RoleAnalysis, "finding.created"}} {
		conn := dialFiles(t, h.Addr().String(), issue(t, h.home, identity.ID{Role: tt.role, Name: "db-1"}, time.Hour))
		follow := func() []string {
			t.Helper()
			events, _, next := subscribeAll(t, conn, &pb.SubscribeRequest{Cursor: "reader", Hold: true, NoFollow: true, Filter: &pb.Filter{Types: []string{"process."}}})
			subscribeAll(t, conn, &pb.SubscribeRequest{Cursor: "reader", Hold: true, NoFollow: true, Start: &pb.SubscribeRequest_FromOffset{FromOffset: next}})
			return messages(t, events)
		}
		if got := follow(); !slices.Equal(got, []string{"seen"}) {
			t.Errorf("%s reads %v", tt.role, got)
		}
		if got := follow(); len(got) > 0 {
			t.Errorf("%s reads %v again", tt.role, got)
		}
		_, err := pb.NewEventBusClient(conn).PublishEvent(t.Context(), with(found(typed(tt.finding, seenBy("db-1", of("test-host", "")))), func(e *pb.Event) {
			e.Id, e.Time = sixteen(1), now()
		}))
		if err != nil {
			t.Errorf("%s: %v", tt.role, err)
		}
		events, _, _ := h.readAll(t, &pb.SubscribeRequest{Filter: &pb.Filter{Types: []string{tt.finding}, Hosts: []string{"test-host"}}})
		if len(events) != 1 {
			t.Errorf("%s: %d findings of its own in the log", tt.role, len(events))
		}
	}
}
