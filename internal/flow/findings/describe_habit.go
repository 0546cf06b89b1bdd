package findings

import "fmt"

func describeBeacon(e *standing) string {
	return fmt.Sprintf("%s connected %d times to %s, every %s in the median; intervals spread by %.0f %% of that, bytes sent by %.0f %% of theirs.",
		e.source.IP(), e.count, endpoint(e.target, e.port), span(e.numbers[1]), 100*e.numbers[2], 100*e.numbers[3])
}

func describeTunnel(e *standing) string {
	return fmt.Sprintf("%s asked for %s names below %s, with %.0f characters before it in the mean, labels of up to %.0f, and %.1f bits a character. Questions: %d.",
		e.source.IP(), about(e.numbers[0]), e.name, e.numbers[1], e.numbers[3], e.numbers[2], e.count)
}

func describeGenerated(e *standing) string {
	return fmt.Sprintf("%s asked for %s domains that do not exist within %s, and for %.0f names that do; they look %.0f %% random, such as %s.",
		e.source.IP(), about(e.numbers[0]), span(e.numbers[3]), e.numbers[2], 100*e.numbers[1], e.method)
}

func describeUpload(e *standing) string {
	usual := "It is too new for a comparison."
	if e.numbers[3] > 0 {
		usual = fmt.Sprintf("In the mean of %.0f windows before it sent %.1f MB.", e.numbers[3], e.numbers[1]/megabyte)
	}
	return fmt.Sprintf("%s sent %.0f MB out of the internal networks within %s, the last to %s. %s",
		e.source.IP(), e.numbers[0]/megabyte, span(e.numbers[2]), endpoint(e.against, e.port), usual)
}

func describeDestination(e *standing) string {
	return fmt.Sprintf("%s spoke to %s, of a network that is new to it; in %.0f h it spoke to %.0f networks.",
		e.source.IP(), endpoint(e.target, e.port), e.numbers[1], e.numbers[0])
}

func describeQuiet(e *standing) string {
	if e.over {
		return fmt.Sprintf("Interface %s gives frames again.", e.name)
	}
	return fmt.Sprintf("Interface %s gave no frame for %s, %.0f since the capture began: look at the cable, the mirror port and the filter. No loss is no sign of health where nothing comes.",
		e.name, span(e.numbers[0]), e.numbers[1])
}

func describeBroadcasts(e *standing) string {
	return fmt.Sprintf("Interface %s gave %.0f frames and no conversation between two hosts, %.0f flows to groups or to all: the mirror port shows no more than any port.",
		e.name, e.numbers[0], e.numbers[1])
}

func describeDirection(e *standing) string {
	return fmt.Sprintf("Interface %s showed one direction of %.0f connections and both of %.0f: mirror received and sent frames of the port. Scans by UDP are not looked for meanwhile.",
		e.name, e.numbers[0], e.numbers[1])
}
