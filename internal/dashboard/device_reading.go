package dashboard

import (
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/amoskys/amoskys/internal/pb/amoskys/v1"
)

// SNMPReading is the newest reading of a device by SNMP. Its interfaces over time are
// events of type snmp.reading.
type SNMPReading struct {
	Target          string          `json:"target" doc:"The address that is polled."`
	SysName         string          `json:"sys_name"`
	SysDescr        string          `json:"sys_descr"`
	SysObjectID     string          `json:"sys_object_id"`
	Hardware        string          `json:"hardware"`
	Location        string          `json:"location"`
	Contact         string          `json:"contact"`
	UptimeSeconds   float64         `json:"uptime_seconds" doc:"0 where it is not known."`
	ResponseSeconds float64         `json:"response_seconds"`
	Error           string          `json:"error" doc:"Why the newest poll failed; empty where it did not."`
	Incomplete      []string        `json:"incomplete" nullable:"false" doc:"Tables that were not read or not whole, and why."`
	CPUPercent      []float64       `json:"cpu_percent" nullable:"false"`
	Memory          []SNMPMemory    `json:"memory" nullable:"false"`
	Storage         []SNMPMemory    `json:"storage" nullable:"false"`
	Sensors         []SNMPSensor    `json:"sensors" nullable:"false"`
	Interfaces      []SNMPInterface `json:"interfaces" nullable:"false"`
	BGPPeers        []SNMPPeer      `json:"bgp_peers" nullable:"false"`
}

// SNMPMemory is a memory or a file system.
type SNMPMemory struct {
	Name       string `json:"name"`
	UsedBytes  uint64 `json:"used_bytes"`
	TotalBytes uint64 `json:"total_bytes"`
}

// SNMPSensor is one sensor.
type SNMPSensor struct {
	Name   string  `json:"name"`
	Kind   string  `json:"kind" doc:"temperature, fan, power, voltage, current, humidity, battery, optical or supply."`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit" doc:"UCUM, such as Cel."`
	Status string  `json:"status" doc:"ok, unavailable, nonoperational, warning or critical."`
}

// SNMPInterface is one interface of a device.
type SNMPInterface struct {
	Index             uint32  `json:"index"`
	Name              string  `json:"name"`
	Alias             string  `json:"alias"`
	Type              string  `json:"type"`
	MAC               string  `json:"mac"`
	SpeedBPS          uint64  `json:"speed_bps"`
	AdminStatus       string  `json:"admin_status"`
	OperStatus        string  `json:"oper_status"`
	BytesIn           uint64  `json:"bytes_in"`
	BytesOut          uint64  `json:"bytes_out"`
	PacketsIn         uint64  `json:"packets_in"`
	PacketsOut        uint64  `json:"packets_out"`
	ErrorsIn          uint64  `json:"errors_in"`
	ErrorsOut         uint64  `json:"errors_out"`
	DiscardsIn        uint64  `json:"discards_in"`
	DiscardsOut       uint64  `json:"discards_out"`
	BytesInPerSecond  float64 `json:"bytes_in_per_second"`
	BytesOutPerSecond float64 `json:"bytes_out_per_second"`
	ErrorsPerSecond   float64 `json:"errors_per_second"`
	PoEWatts          float64 `json:"poe_watts"`
}

// SNMPPeer is a BGP peer.
type SNMPPeer struct {
	IP                 string  `json:"ip"`
	ASN                uint32  `json:"asn"`
	State              string  `json:"state"`
	EstablishedSeconds float64 `json:"established_seconds"`
}

// newReading shows a reading; nil where there is none.
func newReading(r *pb.SnmpReading) *SNMPReading {
	if r == nil {
		return nil
	}
	out := &SNMPReading{
		Target: r.GetTarget(), SysName: r.GetSysName(), SysDescr: r.GetSysDescr(), SysObjectID: r.GetSysObjectId(), Hardware: r.GetHardware(),
		Location: r.GetLocation(), Contact: r.GetContact(), UptimeSeconds: seconds(r.GetUptime()), ResponseSeconds: seconds(r.GetResponseTime()),
		Error: r.GetError(), Incomplete: texts(r.GetIncomplete()), CPUPercent: []float64{}, Memory: newMemory(r.GetMemory()),
		Storage: newMemory(r.GetStorage()), Sensors: []SNMPSensor{}, Interfaces: []SNMPInterface{}, BGPPeers: []SNMPPeer{},
	}
	for _, v := range r.GetCpuPercent() {
		out.CPUPercent = append(out.CPUPercent, finite(v))
	}
	for _, s := range r.GetSensors() {
		out.Sensors = append(out.Sensors, SNMPSensor{s.GetName(), s.GetKind(), finite(s.GetValue()), s.GetUnit(), s.GetStatus()})
	}
	for _, p := range r.GetBgpPeers() {
		out.BGPPeers = append(out.BGPPeers, SNMPPeer{p.GetIp(), p.GetAsn(), p.GetState(), seconds(p.GetEstablished())})
	}
	for _, i := range r.GetInterfaces() {
		out.Interfaces = append(out.Interfaces, SNMPInterface{
			Index: i.GetIndex(), Name: i.GetName(), Alias: i.GetAlias(), Type: i.GetType(), MAC: i.GetMac(), SpeedBPS: i.GetSpeedBps(),
			AdminStatus: i.GetAdminStatus(), OperStatus: i.GetOperStatus(), BytesIn: i.GetBytesIn(), BytesOut: i.GetBytesOut(),
			PacketsIn: i.GetPacketsIn(), PacketsOut: i.GetPacketsOut(), ErrorsIn: i.GetErrorsIn(), ErrorsOut: i.GetErrorsOut(),
			DiscardsIn: i.GetDiscardsIn(), DiscardsOut: i.GetDiscardsOut(), BytesInPerSecond: finite(i.GetBytesInPerSecond()),
			BytesOutPerSecond: finite(i.GetBytesOutPerSecond()), ErrorsPerSecond: finite(i.GetErrorsPerSecond()), PoEWatts: finite(i.GetPoeWatts()),
		})
	}
	return out
}

func newMemory(list []*pb.SnmpMemory) []SNMPMemory {
	out := make([]SNMPMemory, 0, len(list))
	for _, m := range list {
		out = append(out, SNMPMemory{m.GetName(), m.GetUsedBytes(), m.GetTotalBytes()})
	}
	return out
}

// seconds is 0 for what is no duration, or a longer one than there is.
func seconds(d *durationpb.Duration) float64 {
	if !d.IsValid() || d.GetSeconds() > math.MaxInt64/int64(time.Second) {
		return 0
	}
	return d.AsDuration().Seconds()
}
