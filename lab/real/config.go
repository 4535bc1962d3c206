package real

import (
	"fmt"
	"strings"
)

// configTOML is a nexops config for this lab, as a person would write it.
func (u *upper) configTOML() string {
	var b strings.Builder
	b.WriteString("# Written by the lab for this run: nexops --config <this file> --env prod\n\ndefault_env = \"prod\"\n")
	confirm := map[string]string{"prod": "type", "staging": "y"}
	for _, env := range environments() {
		var names []string
		for _, h := range hostsOf(env, "") {
			names = append(names, fmt.Sprintf("%q", h.name))
		}
		fmt.Fprintf(&b, "\n[env.%s]\nhosts   = [%s]\nconfirm = %q\n", env, strings.Join(names, ", "), confirm[env])
	}
	for _, h := range hostPlans() {
		fmt.Fprintf(&b, "\n[hosts.%s]\naddress        = \"%s:22\"\nuser           = \"root\"\nidentity_files = [%q]\nknown_hosts    = [%q]\nagent          = false\n",
			h.name, u.ip(h), u.state.Key, u.state.KnownHosts)
	}
	fmt.Fprintf(&b, configRest, u.state.Repo, u.state.Prometheus, u.state.Loki, u.state.Repo)
	return b.String()
}

const configRest = `
[[sources]]
kind = "docker"

[[sources]]
kind = "git"
name = "infra"
url  = %q
via  = "ops"
path = "services/*/tag.env"
poll = "5s"
tags = "v*.*.*"

[sources.branches]
staging = "staging"
prod    = "master"

[[sources]]
kind   = "prometheus"
url    = %q
via    = "ops"
poll   = "2s"
window = "15s"

[[sources]]
kind = "loki"
url  = %q
via  = "ops"
poll = "5s"

[actions.redeploy]
tag_home = "git"
tag_file = "services/{service}/tag.env"
tag_key  = "{SERVICE}_TAG"
soak     = "10s"
git_url  = %q
git_via  = "ops"

[actions.redeploy.branches]
staging = "staging"
prod    = "master"
`
