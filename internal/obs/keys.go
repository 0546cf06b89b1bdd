package obs

// Keys of log attributes and of structured status. Use these, so that one idea
// has one name everywhere.
const (
	KeyAddr      = "addr"       // network address, host:port
	KeyAgent     = "agent_id"   // id of an agent, such as proc_agent
	KeyBackoff   = "backoff"    // how long until the next try
	KeyBytes     = "bytes"      // size in bytes
	KeyCommand   = "command"    // command of a process or of a person
	KeyComponent = "component"  // process or part that logs
	KeyCount     = "count"      // how many
	KeyCursor    = "cursor"     // name of a subscriber's cursor
	KeyDropped   = "dropped"    // events given up
	KeyDuration  = "duration"   // how long it took
	KeyError     = "error"      // an error's text
	KeyEvents    = "events"     // number of events
	KeyExitCode  = "exit_code"  // exit code of a process
	KeyHost      = "host"       // host name
	KeyIdentity  = "identity"   // SPIFFE id from a certificate
	KeyKey       = "key"        // path of a configuration key
	KeyKind      = "kind"       // kind of an agent or a record
	KeyMethod    = "method"     // RPC or HTTP method
	KeyOffset    = "offset"     // position in the log, in events
	KeyPath      = "path"       // file or folder
	KeyPeer      = "peer"       // remote address
	KeyPID       = "pid"        // process id
	KeyPort      = "port"       // port number
	KeyProxy     = "proxy"      // URL of a proxy, without credentials
	KeyReader    = "reader"     // name of a reader of the log
	KeyReason    = "reason"     // why, as a short fixed word where possible
	KeyRole      = "role"       // role of a process or certificate
	KeySegment   = "segment"    // segment of the log, by first offset
	KeySequence  = "sequence"   // producer sequence number
	KeySignal    = "signal"     // signal that was received
	KeyState     = "state"      // state of something with a lifecycle
	KeyStatus    = "status"     // status code
	KeySubject   = "subject"    // subject of a certificate
	KeyURL       = "url"        // address of a page or API
	KeyUser      = "user"       // account name
	KeyVersion   = "version"    // version of the program
	KeyExpires   = "expires_at" // when something stops being valid
	KeyAttempt   = "attempt"    // number of the try, from 1
	KeyRemaining = "remaining"  // how many are left
	KeyRestarts  = "restarts"   // how often something was started again
)
