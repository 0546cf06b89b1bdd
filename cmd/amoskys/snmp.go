package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/console"
	"github.com/amoskys/amoskys/internal/cli"
	"github.com/amoskys/amoskys/internal/snmp"
)

func newSNMPCommand(e *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "snmp", Short: "Ask one network device by SNMP",
		Long: "Asks one device, from here and now, whatever the SNMP agent does. Secrets may be written as file:PATH or env:NAME,\n" +
			"so that neither the list of processes nor the shell's history holds them.",
		Example: "  amoskys snmp probe 192.0.2.7 --community file:community.txt\n" +
			"  amoskys snmp walk 192.0.2.7 1.3.6.1.2.1.1",
	}
	cmd.AddCommand(newSNMPProbe(e), newSNMPWalk(e), newSNMPGet(e))
	return cmd
}

func newSNMPProbe(e *cli.Env) *cobra.Command {
	var o console.SNMPOptions
	cmd := &cobra.Command{
		Use: "probe HOST[:PORT]", Short: "Print what a device is: maker, system, interfaces, CPU, memory", Args: cobra.ExactArgs(1),
		Example: "  amoskys snmp probe 192.0.2.7 --community file:community.txt\n" +
			"  amoskys snmp probe 192.0.2.7 --user monitor --auth SHA --auth-password env:AUTH --privacy AES --privacy-password env:PRIVACY --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Host = args[0]
			return console.SNMPProbe(cmd.Context(), e, o)
		},
	}
	snmpFlags(cmd, &o)
	return cmd
}

func newSNMPWalk(e *cli.Env) *cobra.Command {
	var o console.SNMPOptions
	cmd := &cobra.Command{
		Use: "walk HOST[:PORT] [OID]", Short: "Print all that a device has below an OID", Args: cobra.RangeArgs(1, 2),
		Long: "Prints all that a device has below an OID, without one all of the internet's, 1.3.6.1. An OID is written in numbers, or by\n" +
			"the name that a common MIB or one of --mibs gives it. How much is asked for at once follows what the device can bear. What was read before a fault is printed too.",
		Example: "  amoskys snmp walk 192.0.2.7 1.3.6.1.2.1.2.2\n" +
			"  amoskys snmp walk 192.0.2.7 IF-MIB::ifXTable\n" +
			"  amoskys snmp walk switch.example.org:1161 --user monitor --auth SHA-256 --auth-password file:pw --json\n" +
			"  amoskys snmp walk 192.0.2.7 1.3.6.1.4.1 --mibs /usr/share/snmp/mibs",
		RunE: func(cmd *cobra.Command, args []string) error {
			root := "1.3.6.1"
			if len(args) == 2 {
				root = args[1]
			}
			o.Host = args[0]
			return console.SNMPWalk(cmd.Context(), e, o, root)
		},
	}
	mibsFlag(cmd, &o)
	snmpFlags(cmd, &o)
	return cmd
}

func mibsFlag(cmd *cobra.Command, o *console.SNMPOptions) {
	cmd.Flags().StringSliceVar(&o.MIBs, "mibs", nil, "folders of MIB files, whose names stand for OIDs beside those of common MIBs")
}

func newSNMPGet(e *cli.Env) *cobra.Command {
	var o console.SNMPOptions
	cmd := &cobra.Command{
		Use: "get HOST[:PORT] OID...", Short: "Print variables of a device", Args: cobra.MinimumNArgs(2),
		Long: "Prints variables of a device. An OID is written in numbers, or by the name that a common MIB or one of --mibs gives it.",
		Example: "  amoskys snmp get 192.0.2.7 1.3.6.1.2.1.1.1.0 1.3.6.1.2.1.1.3.0\n" +
			"  amoskys snmp get 192.0.2.7 sysName.0 IF-MIB::ifDescr.1\n" +
			"  amoskys snmp get 192.0.2.7 1.3.6.1.2.1.1.5.0 --version 1 --community env:COMMUNITY --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Host = args[0]
			return console.SNMPGet(cmd.Context(), e, o, args[1:])
		},
	}
	mibsFlag(cmd, &o)
	snmpFlags(cmd, &o)
	return cmd
}

// snmpFlags are those that say how a device is asked.
func snmpFlags(cmd *cobra.Command, o *console.SNMPOptions) {
	f := cmd.Flags()
	f.StringVar(&o.Version, "version", "", "1, 2c or 3 (default 3 with --user, else 2c)")
	f.StringVar((*string)(&o.Community), "community", "", "community of versions 1 and 2c, or file:PATH, env:NAME (default public)")
	f.StringVar(&o.User, "user", "", "user of version 3")
	f.StringVar(&o.Auth, "auth", "", "authentication: MD5, SHA, SHA-224, SHA-256, SHA-384 or SHA-512 (default none)")
	f.StringVar((*string)(&o.AuthPassword), "auth-password", "", "password for it, or file:PATH, env:NAME")
	f.StringVar(&o.Privacy, "privacy", "", "encryption: DES, AES, AES-192, AES-256, AES-192-C or AES-256-C (default none)")
	f.StringVar((*string)(&o.PrivacyPassword), "privacy-password", "", "password for it, or file:PATH, env:NAME")
	f.StringVar(&o.Context, "context", "", "context of version 3")
	f.DurationVar(&o.Timeout, "timeout", 2*time.Second, "how long one try waits")
	f.DurationVar(&o.Within, "within", 5*time.Minute, "how long all of it may take; 0 is as long as it takes")
	f.IntVar(&o.Retries, "retries", 2, "how often a request without an answer is sent again")
	f.IntVar(&o.Rows, "rows", snmp.DefaultRepetitions, "how many rows one request asks for at most")
	f.BoolVar(&o.JSON, "json", false, "print JSON")
}
