package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/amoskys/amoskys/internal/app/lookup"
	"github.com/amoskys/amoskys/internal/cli"
)

// newDevicesCommand builds `amoskys devices`.
func newDevicesCommand(env *cli.Env) *cobra.Command {
	var o lookup.ListOptions
	cmd := &cobra.Command{
		Use:   "devices [FILTER]",
		Short: "List what is on the network, and say whose it is",
		Long: `Lists the devices that scanners, SNMP agents and hosts with agents tell of, those seen
last first. FILTER is words, each of which has to be in a name, address, fact or service,
or class:, vendor:, os:, service:, port:, subnet:, up:, plugged: and others for one fact
alone, known:, owner:, tag: and note: for what people say of them (docs/devices.md). The store has to run; STORE_HOST and STORE_PORT name one elsewhere.`,
		Example: `  amoskys devices
  amoskys devices class:printer port:9100
  amoskys devices 'subnet:10.0.0.0/24 up:true' --unknown --json
  amoskys devices owner:noc -tag:rack4`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Filter = strings.Join(args, " ")
			return lookup.List(cmd.Context(), env, o)
		},
	}
	cmd.Flags().IntVar(&o.Limit, "limit", 200, "at most so many devices; 0 for all")
	cmd.Flags().BoolVar(&o.Unknown, "unknown", false, "only devices that nobody has marked as known")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object per line")
	cmd.Flags().BoolVar(&o.CSV, "csv", false, "print CSV, one device a line")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	cmd.AddCommand(newDevicesShow(env), newDevicesMark(env))
	return cmd
}

func newDevicesShow(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show DEVICE", Short: "Show all that is known of a device, and what happened to it", Args: cobra.ExactArgs(1),
		Long:    "Shows a device by its uid, also one that it had before, its IP or MAC address, or its\nname: facts, open ports, interfaces read by SNMP, where it is plugged in, and its history.",
		Example: "  amoskys devices show 10.0.0.7\n  amoskys devices show printer-3 --json",
		RunE:    func(cmd *cobra.Command, args []string) error { return lookup.Show(cmd.Context(), env, args[0], asJSON) },
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newDevicesMark(env *cli.Env) *cobra.Command {
	var o lookup.MarkOptions
	var known bool
	var owner, note string
	cmd := &cobra.Command{
		Use: "mark [DEVICE...]", Short: "Say of devices that they are known, whose they are, and tag them",
		Long: `Says something of devices, each named by uid, address or name, or of all that match
--filter. What is not given stays as it is; --known=false and --owner "" take it back. The
hub keeps it and audits each change.`,
		Example: `  amoskys devices mark 10.0.0.7 printer-3 --known --owner 'Office IT' --tag floor-2
  amoskys devices mark --filter 'class:camera subnet:10.0.9.0/24' --known --tag cctv`,
		RunE: func(cmd *cobra.Command, args []string) error {
			typed := cmd.Flags().Changed
			if !typed("known") && !typed("owner") && !typed("note") && len(o.Tags)+len(o.Untag) == 0 {
				return cli.Usagef("say what is to change: --known, --owner, --tag, --untag or --note")
			}
			o.Devices = args
			if typed("known") {
				o.Known = &known
			}
			if typed("owner") {
				o.Owner = &owner
			}
			if typed("note") {
				o.Note = &note
			}
			return lookup.SetMarks(cmd.Context(), env, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Filter, "filter", "", "all devices that match this filter")
	flags.BoolVar(&known, "known", false, "somebody knows them, and they belong here")
	flags.StringVar(&owner, "owner", "", "who answers for them")
	flags.StringVar(&note, "note", "", "a note, in one line")
	flags.StringSliceVar(&o.Tags, "tag", nil, "tags to add")
	flags.StringSliceVar(&o.Untag, "untag", nil, "tags to remove")
	jsonFlag(cmd, &o.JSON)
	return cmd
}

// newWhereCommand builds `amoskys where`.
func newWhereCommand(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "where ADDRESS|NAME", Short: "Say where a device is plugged in, since when, and where it was before", Args: cobra.ExactArgs(1),
		Long: `Says at which port of which switch a device is, in which VLAN, since when, how that is
known, and where it was before. The device is named by its IP or MAC address, its name or
its uid. It needs an SNMP agent that polls the switches (docs/devices.md).`,
		Example: "  amoskys where 10.0.0.7\n  amoskys where 00:00:5e:00:53:01 --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return lookup.Where(cmd.Context(), env, args[0], asJSON)
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
