package agent

import "github.com/amoskys/amoskys/internal/config"

// Configuration is what Define needs of a pointer to an agent's Config: that it
// embeds Common, and checks itself with a Validate method of its own.
type Configuration[C any] interface {
	*C
	config.Validator
	common() *Common
}

// common is how a Config that embeds Common gives it to the runtime.
func (c *Common) common() *Common { return c }

// Deriver is a Config whose defaults depend on what the user wrote. Derive is
// called once after reading, with the keys that file or environment set.
type Deriver interface {
	Derive(set map[string]string)
}

// Undemanding is a Config with which an agent may work without the privileges that its
// Definition states.
type Undemanding interface {
	WorksWithoutPrivileges() bool
}

// Define completes d: its Load reads a C strictly over its defaults, and an agent
// is made of that by create.
func Define[C any, P Configuration[C]](d Definition, defaults func() C, create func(cfg C, o Options) (Agent, error)) Definition {
	d.Load = func(file string, o config.DecodeOptions) (Loaded, error) {
		if o.Sources == nil {
			o.Sources = map[string]string{}
		}
		cfg := defaults()
		if err := config.Load(file, P(&cfg), o); err != nil {
			return Loaded{}, err
		}
		if c, ok := any(&cfg).(Deriver); ok {
			c.Derive(o.Sources)
		}
		u, lenient := any(&cfg).(Undemanding)
		return Loaded{
			Common: *P(&cfg).common(), Config: cfg, WithoutPrivileges: lenient && u.WorksWithoutPrivileges(),
			New: func(o Options) (Agent, error) { return create(cfg, o) },
		}, nil
	}
	return d
}
