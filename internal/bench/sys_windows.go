package bench

// cpuSeconds is 0 where the system is not asked.
func cpuSeconds() float64 { return 0 }
