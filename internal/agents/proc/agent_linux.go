package proc

// hostTable reads the processes of this host from /proc.
func hostTable(hostID string) (*table, error) {
	src, err := newProcfs("/proc")
	if err != nil {
		return nil, err
	}
	return &table{
		src: src, hostID: hostID, bootID: bootID(),
		boot: src.boot, hz: float64(src.hz), page: src.page,
	}, nil
}
