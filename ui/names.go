package ui

import "strings"

// instanceID tells instances apart: a name is unique on its host only.
type instanceID struct{ host, name string }

// maxNames bounds how many instances of one log are told apart.
const maxNames = 64

// instanceLabels are the shortest names that tell instances apart, and none when there is
// only one: what stands in every row without telling anything is left out.
func instanceLabels(service string, seen []instanceID) map[instanceID]string {
	out := make(map[instanceID]string, len(seen))
	if len(seen) < 2 {
		return out
	}
	names, hosts := map[string]int{}, map[string]int{}
	for _, id := range seen {
		names[shortName(service, id.name)]++
		hosts[id.host]++
	}
	for _, id := range seen {
		label := shortName(service, id.name)
		switch {
		case names[label] == 1:
		case len(hosts) == len(seen):
			label = id.host
		default:
			label += " " + id.host
		}
		out[id] = label
	}
	return out
}

// shortName is the name of an instance from its service on: "nexgate-prod-ai-1" is "ai-1".
func shortName(service, name string) string {
	const separators = "-_."
	at := strings.LastIndex(name, service)
	if service == "" || at <= 0 || !strings.ContainsRune(separators, rune(name[at-1])) {
		return name
	}
	if end := at + len(service); end < len(name) && !strings.ContainsRune(separators, rune(name[end])) {
		return name
	}
	return name[at:]
}
