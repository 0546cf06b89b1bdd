package admit

import (
	"errors"
	"fmt"

	"github.com/amoskys/amoskys/internal/event"
	"github.com/amoskys/amoskys/internal/identity/hostname"
	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// Judge decides on one encoded event. The refusal's index is 0. Nothing that the
// event says makes it anybody's: the rules come from the sender's certificate.
func Judge(b []byte, rules *Rules) (event.Envelope, *Refusal) {
	return judge(b, rules, event.Inspect)
}

func judge(b []byte, rules *Rules, inspect func([]byte) (event.Envelope, error)) (event.Envelope, *Refusal) {
	if len(b) > rules.MaxEventBytes {
		refusal := tooLarge(len(b), rules)
		return event.Envelope{}, &refusal
	}
	envelope, err := inspect(b)
	if err == nil {
		err = envelope.CheckType(rules.Maker)
	}
	if err != nil {
		return event.Envelope{}, &Refusal{Reason: reasonOf(err), Detail: err.Error()}
	}
	if refusal := rules.judgeSender(&envelope); refusal != nil {
		return event.Envelope{}, refusal
	}
	return envelope, nil
}

func reasonOf(err error) pb.RefusalReason {
	switch {
	case errors.Is(err, event.ErrNoID):
		return pb.RefusalReason_REFUSAL_REASON_NO_ID
	case errors.Is(err, event.ErrNoTime):
		return pb.RefusalReason_REFUSAL_REASON_NO_TIME
	case errors.Is(err, event.ErrNoType), errors.Is(err, event.ErrBadType):
		return pb.RefusalReason_REFUSAL_REASON_NO_TYPE
	case errors.Is(err, event.ErrReservedType):
		return pb.RefusalReason_REFUSAL_REASON_RESERVED_TYPE
	default:
		return pb.RefusalReason_REFUSAL_REASON_MALFORMED
	}
}

// judgeSender holds who an event says it comes from against who sends it:
//
//	publisher   observer or about   host                  answer
//	set                                                   refused: readers fill it in
//	            neither             the certificate's     taken
//	            neither             another, or none      refused
//	            only about                                refused: who saw it?
//	            observer            none, and no about    refused: whom is it about?
//	            observer, which is  any                   taken, if the certificate's
//	            the certificate's                         kinds watch others
//	            another observer    any                   refused
func (rules *Rules) judgeSender(e *event.Envelope) *Refusal {
	switch {
	case e.HasPublisher:
		return wrong(pb.RefusalReason_REFUSAL_REASON_WRONG_AGENT,
			"event carries publisher: leave it out, the hub knows it from the certificate")
	case rules.AgentID != "" && len(e.AgentID) > 0 && !hostname.Is(e.AgentID, rules.AgentID):
		return wrong(pb.RefusalReason_REFUSAL_REASON_WRONG_AGENT,
			"event names agent %.64q, its sender is %q", e.AgentID, rules.AgentID)
	case e.HasObserver || e.HasAbout:
		return rules.judgeObserver(e)
	case len(e.HostName) == 0:
		return wrong(pb.RefusalReason_REFUSAL_REASON_WRONG_HOST,
			"event names no host: set host.name to %q, the name in the certificate", rules.Host)
	case !hostname.Is(e.HostName, rules.Host):
		return wrong(pb.RefusalReason_REFUSAL_REASON_WRONG_HOST,
			"event is of host %.64q, its sender's certificate is of %q: set host.name to that, or send with a certificate of the host", e.HostName, rules.Host)
	}
	return nil
}

func (rules *Rules) judgeObserver(e *event.Envelope) *Refusal {
	switch {
	case !rules.Observes:
		return wrong(pb.RefusalReason_REFUSAL_REASON_WRONG_HOST,
			"event is about others than its sender, and the certificate of %q allows no kind of agent that: docs/security.md says how one is made", rules.Host)
	case len(e.ObserverName) == 0:
		return wrong(pb.RefusalReason_REFUSAL_REASON_WRONG_HOST,
			"event is about others and does not say who saw it: set observer.name to %q", rules.Host)
	case !hostname.Is(e.ObserverName, rules.Host):
		return wrong(pb.RefusalReason_REFUSAL_REASON_WRONG_HOST,
			"event names observer %.64q, its sender is %q", e.ObserverName, rules.Host)
	case len(e.HostName) == 0 && !e.HasAbout:
		return wrong(pb.RefusalReason_REFUSAL_REASON_WRONG_HOST,
			"event has an observer and does not say whom it is about: set host.name or about")
	}
	return nil
}

func wrong(reason pb.RefusalReason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
