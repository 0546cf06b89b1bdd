package scan

import (
	"math"
	"sync"
	"time"
)

const (
	// windowFirst and windowMost bound how many probes may be unanswered at once, of
	// hosts that answer at all; muteWindow does of hosts that have answered nothing.
	windowFirst, windowLeast, windowMost = 1024, 16, 8192
	muteWindow                           = 8192
	// hostWindow is the same for one host, and hostFirst until it has answered.
	hostWindow, hostFirst = 1024, 64
	// muteAfter is how many probes a host leaves unanswered before it counts as mute.
	muteAfter = 32
	// triesLeast and triesMost are how often a probe is sent that nobody answers. Three
	// bits of our port say which time an answer is for.
	triesLeast, triesMost = 2, 7
	// waitLeast is the shortest wait for an answer, waitFirst that before any came.
	waitLeast, waitFirst = 100 * time.Millisecond, 500 * time.Millisecond
	// lossHeavy is the share of answers that came only to a second try at which a
	// network is taken to be congested. Radio loses some percent on a good day.
	lossHeavy = 0.05
	// missRisk is the chance of missing any answer by loss that we put up with.
	missRisk = 0.01
)

// pace says how fast one network is probed, in the manner of TCP (RFC 5681, RFC 6298):
// an estimate of the time of answers, and a window of probes that may be unanswered.
//
//	answer to a first try          window grows by one, and by more where few probes
//	                               are answered at all
//	answer to a later try          a loss: counted, no growth
//	losses above lossHeavy         window shrinks to 0.6 or to what the network has
//	                               carried in the time of an answer, once in two waits
//	silence                        says nothing by itself: closed networks are silent
type pace struct {
	window  float64
	share   int  // of how many that probe this network at once it is one
	slow    bool // the window has shrunk before: it grows slowly now
	srtt    time.Duration
	rttvar  time.Duration
	longest time.Duration // of a wait
	recent  float64       // share of losses among recent answers
	cutAt   time.Duration

	markAt time.Duration // when the rate of answers is measured from, and
	mark   uint64        // how many there were then

	sent, answered, lost uint64
}

// newPace is the pace of one of share that probe a network at once, and share what it carries.
func newPace(longest time.Duration, share int) pace {
	return pace{window: float64(windowFirst / share), share: share, longest: longest}
}

// mute is how many probes to hosts that have answered nothing may be unanswered at once.
func (p *pace) mute() int { return muteWindow / p.share }

// heard notes an answer to a try that took so long. Of a later try lostAt is when the
// one before was sent: what was lost before the window shrank says nothing of now.
func (p *pace) heard(now, rtt, lostAt time.Duration, try int) {
	p.answered++
	p.measure(rtt)
	const weight = 1.0 / 256
	if try > 1 {
		p.lost++
		if lostAt < p.cutAt {
			return
		}
		p.recent += (1 - p.recent) * weight
		if p.recent > lossHeavy && now-p.cutAt > 2*p.wait(1) {
			p.cut(now)
		}
		return
	}
	p.recent -= p.recent * weight
	if now-p.markAt > time.Second/4 {
		p.markAt, p.mark = now, p.answered
	}
	growth := min(8, float64(p.sent)/float64(p.answered))
	if p.slow {
		growth *= 4 / p.window
	}
	p.window = min(float64(windowMost/p.share), p.window+growth)
}

// cut shrinks the window.
func (p *pace) cut(now time.Duration) {
	smaller := p.window * 0.6
	if passed := now - p.markAt; passed > waitLeast/2 {
		smaller = min(smaller, float64(p.answered-p.mark)*float64(p.srtt)/float64(passed))
	}
	p.window, p.slow, p.cutAt = max(windowLeast, smaller), true, now
	p.markAt, p.mark, p.recent = now, p.answered, 0
}

// mistaken takes back that an answer to a later try was a loss: one to an earlier try
// came after all.
func (p *pace) mistaken() {
	if p.lost > 0 {
		p.lost--
	}
}

// blind lets the window grow where a probe ended in silence, up to what suits a network
// that never answers.
func (p *pace) blind() {
	if p.window < float64(windowFirst*4/p.share) && !p.slow {
		p.window += 0.25
	}
}

func (p *pace) measure(rtt time.Duration) {
	if p.srtt == 0 {
		p.srtt, p.rttvar = rtt, rtt/2
		return
	}
	p.rttvar += ((p.srtt - rtt).Abs() - p.rttvar) / 4
	p.srtt += (rtt - p.srtt) / 8
}

// wait is how long an answer to a try is waited for.
func (p *pace) wait(try int) time.Duration {
	w := waitFirst
	if p.srtt > 0 {
		w = max(waitLeast, p.srtt+4*p.rttvar)
	}
	return min(p.longest, w+w/2*time.Duration(try-1))
}

// loss is the share of probes that were lost, of at least 100 that one thinks of as
// answered with one of them lost.
func (p *pace) loss() float64 {
	return min(0.5, (float64(p.lost)+1)/(float64(p.answered)+100))
}

// tries is how often a silent probe is to be sent where there are so many probes in all,
// so that chance leaves hardly any of them unanswered that would be answered.
func (p *pace) tries(probes int) int {
	n := math.Ceil(math.Log(float64(probes)/missRisk) / -math.Log(p.loss()))
	return max(triesLeast, min(triesMost, int(n)))
}

// limiter holds all that send to one rate.
type limiter struct {
	every time.Duration // 0 is no limit
	mu    sync.Mutex
	next  time.Duration // when the next packet may go
}

func newLimiter(rate int) *limiter {
	if rate <= 0 {
		return &limiter{}
	}
	return &limiter{every: time.Second / time.Duration(rate)}
}

// burst is for how long a sender that was late may catch up.
const burst = 10 * time.Millisecond

// take asks for n packets and says how many may go now; of none, until when to wait.
func (l *limiter) take(now time.Duration, n int) (granted int, until time.Duration) {
	if l.every == 0 {
		return n, now
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = max(l.next, now-burst)
	for granted < n && l.next <= now {
		l.next += l.every
		granted++
	}
	return granted, l.next
}

// back gives back what was granted and not needed.
func (l *limiter) back(n int) {
	if l.every == 0 || n <= 0 {
		return
	}
	l.mu.Lock()
	l.next -= time.Duration(n) * l.every
	l.mu.Unlock()
}
