package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Names of environment variables that are not paths of keys.
const (
	EnvRole    = "AMOSKYS_ROLE"     // role to run when the binary has no command
	EnvAgentID = "AMOSKYS_AGENT_ID" // id of the agent to run with AMOSKYS_ROLE=agent; also agent.id
	// EnvSupervised is 1 for a process that was started by another of ours, which
	// keeps its last words and reads its log files.
	EnvSupervised = "AMOSKYS_SUPERVISED"
	// EnvLastEnd is why the one before ended by itself, for a process that its
	// supervisor starts again.
	EnvLastEnd = "AMOSKYS_LAST_END"

	// EnvRunAs is the number of the user that our image runs as: root gives the home to
	// that user and goes on as that user.
	EnvRunAs = "AMOSKYS_RUN_AS"

	EnvHubHost = "EVENTBUS_HOST" // host of the hub, for env tags
	EnvHubPort = "EVENTBUS_PORT" // port of the hub, for env tags

	EnvStoreHost = "STORE_HOST" // host of the store, for env tags
	EnvStorePort = "STORE_PORT" // port of the store, for env tags
)

// Variable names the environment variable that overrides a key: "server.port"
// is AMOSKYS_SERVER_PORT.
func Variable(key string) string {
	return "AMOSKYS_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// environment overrides every key below v whose variable is set and not
// empty. The variable with the key's own path wins over the one from an env tag.
func (d *decoder) environment(v reflect.Value, path string) {
	for _, f := range fields(v.Type()) {
		key, target := join(path, f.key), v.FieldByIndex(f.index)
		for target.Kind() == reflect.Pointer {
			if target.IsNil() {
				break
			}
			target = target.Elem()
		}
		if isSection(target.Type()) {
			d.environment(target, key)
			continue
		}
		for _, name := range []string{f.env, Variable(key)} {
			if name == "" {
				continue
			}
			if text, set := d.options.Env(name); set && text != "" {
				d.override(target, key, name, text)
			}
		}
	}
}

func (d *decoder) override(v reflect.Value, key, name, text string) {
	if v.Kind() == reflect.Pointer {
		p := reflect.New(v.Type().Elem())
		d.override(p.Elem(), key, name, text)
		v.Set(p)
		return
	}
	if err := setFromText(v, text); err != nil {
		d.faults = append(d.faults, Fault{Env: name, Key: key, Message: err.Error()})
		return
	}
	d.origin[key] = Fault{Env: name}
}

// setFromText parses a variable's text for v; lists are separated by commas.
func setFromText(v reflect.Value, s string) error {
	if isText(v.Type()) || v.Kind() == reflect.String {
		return setText(v, s)
	}
	wrong := func() error { return fmt.Errorf("must be %s, not %q", typeWord(v.Type()), s) }
	if v.Type() == reflect.TypeFor[time.Duration]() {
		if setText(v, s) != nil {
			return wrong()
		}
		return nil
	}
	switch {
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return wrong()
		}
		v.SetBool(b)
	case v.CanInt():
		n, err := strconv.ParseInt(s, 10, v.Type().Bits())
		if err != nil {
			return wrong()
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(s, 10, v.Type().Bits())
		if err != nil {
			return wrong()
		}
		v.SetUint(n)
	case v.CanFloat():
		x, err := strconv.ParseFloat(s, v.Type().Bits())
		if err != nil {
			return wrong()
		}
		v.SetFloat(x)
	case v.Kind() == reflect.Slice && !isSection(v.Type().Elem()):
		return setListFromText(v, s)
	default:
		return errors.New("cannot be set by a variable; use the file")
	}
	return nil
}

func setListFromText(v reflect.Value, s string) error {
	out := reflect.MakeSlice(v.Type(), 0, 0)
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		element := reflect.New(v.Type().Elem()).Elem()
		if err := setFromText(element, part); err != nil {
			return err
		}
		out = reflect.Append(out, element)
	}
	v.Set(out)
	return nil
}
