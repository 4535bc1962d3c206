package sim

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/ssh/knownhosts"
)

// writeConfig writes the console's config and the known_hosts file it names.
func (e *Estate) writeConfig() error {
	var known, b strings.Builder
	b.WriteString("# The simulated nexgate estate. It is gone when the simulation ends.\n")
	fmt.Fprintf(&b, "default_env = %q\n", "prod")
	for _, env := range []struct{ name, confirm string }{{"staging", "y"}, {"prod", "type"}, {"ops", "type"}, {"scale", "type"}} {
		if hosts := e.hostsOf(env.name); len(hosts) > 0 {
			fmt.Fprintf(&b, "\n[env.%s]\nhosts   = [%s]\nconfirm = %q\n", env.name, quoted(hosts), env.confirm)
		}
	}
	for _, name := range e.order {
		address := e.hosts[name].sshd.Address()
		known.WriteString(knownhosts.Line([]string{address}, e.hosts[name].key) + "\n")
		fmt.Fprintf(&b, "\n[hosts.%s]\naddress        = %q\nuser           = \"deploy\"\nidentity_files = [%q]\nknown_hosts    = [%q]\nagent          = false\n",
			name, address, e.KeyPath(), e.KnownHostsPath())
	}
	for what, secret := range map[string]string{"key": komodoKey, "secret": komodoSecret} {
		if err := os.WriteFile(e.komodoPath(what), []byte(secret+"\n"), 0o600); err != nil {
			return fmt.Errorf("sim: %w", err)
		}
	}
	b.WriteString(strings.NewReplacer("@GIT@", tomlString(e.GitPath()),
		"@KEY@", tomlString("file:"+e.komodoPath("key")), "@SECRET@", tomlString("file:"+e.komodoPath("secret"))).Replace(configTail + backupsTail))
	if err := os.WriteFile(e.KnownHostsPath(), []byte(known.String()), 0o600); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	if err := os.WriteFile(e.ConfigPath(), []byte(b.String()), 0o600); err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	return nil
}

func (e *Estate) hostsOf(env string) []string {
	var out []string
	for _, name := range e.order {
		if e.hosts[name].spec.Environment == env {
			out = append(out, name)
		}
	}
	return out
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = tomlString(n)
	}
	return strings.Join(out, ", ")
}

func tomlString(s string) string { return fmt.Sprintf("%q", s) }

// configTail is what does not depend on ports and paths. The windows are short, as
// the simulated Prometheus has a sample every two seconds: what an undo does shows at once.
const configTail = `
[[sources]]
kind = "docker"

[[sources]]
kind = "git"
name = "infra"
url  = @GIT@
path = "services/*/tag.env"
poll = "3s"
tags = "v*.*.*"

[sources.branches]
staging = "staging"
prod    = "master"

[[sources]]
kind   = "prometheus"
url    = "http://127.0.0.1:9090"
via    = "ops"
poll   = "3s"
window = "10s"

[[sources]]
kind = "loki"
url  = "http://127.0.0.1:3100"
via  = "ops"
poll = "5s"

[sources.queries]
log_errors = 'sum by (env, host, compose_service) (count_over_time($selector $errors [20s])) * 3'

[[sources]]
kind   = "komodo"
url    = "http://127.0.0.1:9120"
via    = "ops"
key    = @KEY@
secret = @SECRET@
poll   = "5s"

[join.companions]
file-thunder-postgres = "file-thunder"
file-thunder-clamav   = "file-thunder"

[join.services.ai]
p95_warning = "4s"

[actions.redeploy]
tag_home = "git"
tag_file = "services/{service}/tag.env"
tag_key  = "{SERVICE}_TAG"
soak     = "8s"
git_url  = @GIT@

[actions.redeploy.branches]
staging = "staging"
prod    = "master"
`
