package limit

// What the process of the store's engine may take, in bytes, whatever it is asked: what it
// counts as a query's memory leaves out texts that pipes make longer. Several times what it
// uses otherwise, and half of what there is, where that is less.
const (
	engineMost  = 2 << 30
	engineLeast = 256 << 20 // with less it does not get far
)

// EngineMemory is what the process of the store's engine may take here, in bytes.
func EngineMemory() int64 { return engineMemory(Memory()) }

// engineMemory is what it may take of so much; 0 is unknown.
func engineMemory(all int64) int64 {
	if all <= 0 {
		return engineMost
	}
	return min(max(all/2, engineLeast), engineMost)
}
