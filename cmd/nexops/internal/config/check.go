package config

import (
	"fmt"
	"slices"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/sources"
)

// check finds what only the whole file can tell: names that lead nowhere.
func (l *loader) check() {
	f := &l.cfg.File
	if len(f.Env) == 0 {
		l.add("env", "no environment: write [env.prod] with hosts = [...]")
	}
	if f.DefaultEnv != "" {
		if _, ok := f.Env[f.DefaultEnv]; !ok {
			l.add("default_env", "no environment %q%s", f.DefaultEnv, choose(f.DefaultEnv, names(f.Env)))
		}
	}
	for _, name := range names(f.Env) {
		l.checkEnvironment(name, f.Env[name])
	}
	for _, name := range names(f.Hosts) {
		h := f.Hosts[name]
		l.validate("hosts."+name, h.Validate())
		if h.Jump != "" {
			l.hostExists("hosts."+name+".jump", h.Jump)
		}
	}
	l.checkSources()
	l.checkActions()
	l.checkUI()
}

func (l *loader) checkEnvironment(name string, env Environment) {
	base := "env." + name
	if len(env.Hosts) == 0 {
		l.add(base, "hosts is missing or empty; name at least one of [hosts.*]")
	}
	for _, h := range env.Hosts {
		l.hostExists(base+".hosts", h)
	}
	allowed := []string{string(actions.ConfirmNone), string(actions.ConfirmY), string(actions.ConfirmType), string(actions.ConfirmNever)}
	if env.Confirm != "" && !slices.Contains(allowed, string(env.Confirm)) {
		l.add(base+".confirm", "unknown way to confirm %q%s", env.Confirm, choose(string(env.Confirm), allowed))
	}
	for _, action := range names(env.ConfirmActions) {
		key := base + ".confirm_actions." + action
		if c := env.ConfirmActions[action]; !c.Valid() {
			l.add(key, "unknown way to confirm %q%s", c, choose(string(c), allowed))
		}
		if known := l.kinds.ActionNames; len(known) > 0 && !slices.Contains(known, action) {
			l.add(key, "unknown action%s", choose(action, known))
		}
	}
	seen := map[string]bool{}
	for _, service := range env.Order {
		if seen[service] {
			l.add(base+".order", "%q stands in it twice", service)
		}
		seen[service] = true
	}
	for _, other := range names(l.cfg.Env) {
		if other >= name {
			continue
		}
		for _, h := range env.Hosts {
			if slices.Contains(l.cfg.Env[other].Hosts, h) {
				l.add(base+".hosts", "host %q is already in [env.%s]: a host is in one environment", h, other)
			}
		}
	}
}

func (l *loader) hostExists(key, host string) {
	if _, ok := l.cfg.Hosts[host]; !ok {
		l.add(key, "no host %q%s", host, choose(host, names(l.cfg.Hosts)))
	}
}

func (l *loader) checkSources() {
	seen := map[string]int{}
	for i, s := range l.cfg.Sources {
		base := fmt.Sprintf("sources[%d]", i)
		id := s.Kind + "/" + s.Name
		if first, dup := seen[id]; dup {
			l.add(base, "a second %s source named %q: give it a name of its own (the first is sources[%d])", s.Kind, s.Name, first)
		}
		seen[id] = i
		if isNil(s.Config) {
			continue
		}
		if u, ok := s.Config.(sources.HostUser); ok {
			for _, h := range u.HostNames() {
				l.hostExists(base, h)
			}
		}
	}
}

// checkActions finds hosts that the tables of actions name and that are none.
func (l *loader) checkActions() {
	for _, name := range names(l.cfg.Actions) {
		u, ok := l.cfg.Actions[name].(sources.HostUser)
		if !ok || isNil(l.cfg.Actions[name]) {
			continue
		}
		for _, h := range u.HostNames() {
			l.hostExists("actions."+name, h)
		}
	}
}

func (l *loader) checkUI() {
	themes := []string{"auto", "dark", "light", "colorblind", "mono"}
	if t := l.cfg.UI.Theme; !slices.Contains(themes, t) {
		l.add("ui.theme", "unknown theme %q%s", t, choose(t, themes))
	}
	if n := l.cfg.UI.LogLines; n < 100 || n > 1_000_000 {
		l.add("ui.log_lines", "%d is out of range: 100 to 1000000", n)
	}
}
