package trap

// Names of the traps that are acted on (RFC 3418, section 2; RFC 2863).
const (
	ColdStart   = "coldStart"
	WarmStart   = "warmStart"
	LinkDown    = "linkDown"
	LinkUp      = "linkUp"
	AuthFailure = "authenticationFailure"
)

// nameOf names the traps of standard MIBs, and of some that everybody has.
func nameOf(oid string) string {
	return map[string]string{
		oidTraps + ".1": ColdStart, oidTraps + ".2": WarmStart, oidTraps + ".3": LinkDown,
		oidTraps + ".4": LinkUp, oidTraps + ".5": AuthFailure, oidTraps + ".6": "egpNeighborLoss",
		"1.3.6.1.2.1.17.0.1":       "newRoot",                      // RFC 4188
		"1.3.6.1.2.1.17.0.2":       "topologyChange",               // RFC 4188
		"1.3.6.1.2.1.15.0.1":       "bgpEstablished",               // RFC 4273
		"1.3.6.1.2.1.15.0.2":       "bgpBackwardTransition",        // RFC 4273
		"1.3.6.1.2.1.15.7.1":       "bgpEstablished",               // RFC 1657
		"1.3.6.1.2.1.15.7.2":       "bgpBackwardTransition",        // RFC 1657
		"1.3.6.1.2.1.14.16.2.2":    "ospfNbrStateChange",           // RFC 4750
		"1.3.6.1.2.1.14.16.2.16":   "ospfIfStateChange",            // RFC 4750
		"1.3.6.1.2.1.16.0.1":       "risingAlarm",                  // RFC 2819
		"1.3.6.1.2.1.16.0.2":       "fallingAlarm",                 // RFC 2819
		"1.3.6.1.2.1.33.2.1":       "upsTrapOnBattery",             // RFC 1628
		"1.3.6.1.2.1.33.2.2":       "upsTrapTestCompleted",         // RFC 1628
		"1.3.6.1.2.1.33.2.3":       "upsTrapAlarmEntryAdded",       // RFC 1628
		"1.3.6.1.2.1.33.2.4":       "upsTrapAlarmEntryRemoved",     // RFC 1628
		"1.3.6.1.2.1.43.18.2.0.1":  "printerV2Alert",               // RFC 3805
		"1.3.6.1.2.1.47.2.0.1":     "entConfigChange",              // RFC 6933
		"1.3.6.1.2.1.68.0.1":       "vrrpTrapNewMaster",            // RFC 2787
		"1.3.6.1.2.1.88.2.0.1":     "mteTriggerFired",              // RFC 2981
		"1.3.6.1.2.1.105.0.1":      "pethPsePortOnOffNotification", // RFC 3621
		"1.0.8802.1.1.2.0.0.1":     "lldpRemTablesChange",          // IEEE 802.1AB
		"1.3.6.1.4.1.8072.4.0.1":   "nsNotifyStart",
		"1.3.6.1.4.1.8072.4.0.2":   "nsNotifyShutdown",
		"1.3.6.1.4.1.8072.4.0.3":   "nsNotifyRestart",
		"1.3.6.1.4.1.9.9.43.2.0.1": "ciscoConfigManEvent",
	}[oid]
}
