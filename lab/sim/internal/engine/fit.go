package engine

import (
	"encoding/json"
	"net/http"
)

// fits reports whether the host's engine is of the generation whose types are compiled in.
func (s *Server) fits() bool { return minor(s.hostNow().Engine.APIVersion) >= minor("1.44") }

// reply answers v as the host's engine would: the types are those of Engine 28, an older
// one lacks some fields and has some that are gone since.
func (s *Server) reply(w http.ResponseWriter, v any, old func(map[string]any)) {
	if s.fits() || old == nil {
		reply(w, v)
		return
	}
	fitted, err := refit(v, old)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	reply(w, fitted)
}

func refit(v any, old func(map[string]any)) (any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err //nolint:wrapcheck // goes to the client as it is
	}
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err //nolint:wrapcheck // goes to the client as it is
	}
	switch doc := doc.(type) {
	case map[string]any:
		old(doc)
	case []any:
		for _, one := range doc {
			if m, ok := one.(map[string]any); ok {
				old(m)
			}
		}
	}
	return doc, nil
}

func object(m map[string]any, key string) map[string]any {
	inner, _ := m[key].(map[string]any)
	if inner == nil {
		inner = map[string]any{}
	}
	return inner
}

// oldEndpoints takes what networks of Engine 20.10 do not say out of a container.
func oldEndpoints(m map[string]any) {
	for _, v := range object(object(m, "NetworkSettings"), "Networks") {
		if endpoint, ok := v.(map[string]any); ok {
			delete(endpoint, "DNSNames")
			delete(endpoint, "GwPriority")
		}
	}
}

func oldContainer(m map[string]any) {
	oldEndpoints(m)
	host := object(m, "HostConfig")
	host["KernelMemory"], host["KernelMemoryTCP"], host["OomKillDisable"] = 0, 0, false
}

func oldInfo(m map[string]any) {
	delete(m, "CDISpecDirs")
	for _, k := range []string{"BridgeNfIp6tables", "BridgeNfIptables", "KernelMemory", "KernelMemoryTCP"} {
		m[k] = true
	}
	for _, k := range []string{"ContainerdCommit", "RuncCommit", "InitCommit"} {
		commit := object(m, k)
		commit["Expected"] = commit["ID"]
	}
}

func oldImage(m map[string]any) {
	config := map[string]any{
		"Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false, "AttachStderr": false, "Tty": false,
		"OpenStdin": false, "StdinOnce": false, "Env": nil, "Cmd": nil, "Image": "", "Volumes": nil, "WorkingDir": "", "Entrypoint": nil,
		"OnBuild": nil, "Labels": object(m, "Config")["Labels"],
	}
	m["Container"], m["Config"], m["ContainerConfig"] = "", config, config
}
