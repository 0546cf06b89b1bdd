package proc

// hostTable reads the processes of this host from /proc.
func hostTable(hostID string, mask func([]string) []string) (*table, error) {
	src, err := newProcfs(mask)
	if err != nil {
		return nil, err
	}
	return &table{
		src: src, hostID: hostID, bootID: bootID(),
		hz: float64(src.hz), page: src.page, leader: src.wholeStatus,
	}, nil
}
