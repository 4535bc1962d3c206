package komodo

import (
	"encoding/json"
	"strings"
	"time"
)

// The documents of the API, as far as they are read. What is missing or new in another version is no mistake, and a word that is
// not known is kept as it is.

// id is {"$oid": "..."} of full resources, or a plain string.
type id string

// UnmarshalJSON takes both forms; anything else is no id.
func (i *id) UnmarshalJSON(raw []byte) error {
	var doc struct {
		OID string `json:"$oid"`
	}
	var text string
	switch {
	case json.Unmarshal(raw, &doc) == nil && doc.OID != "":
		*i = id(doc.OID)
	case json.Unmarshal(raw, &text) == nil:
		*i = id(text)
	}
	return nil
}

type target struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// item is one of a list.
type item[T any] struct {
	ID   id       `json:"id"`
	Name string   `json:"name"`
	Tags []string `json:"tags"`
	Info T        `json:"info"`
}

type stackItem struct {
	ServerID     string        `json:"server_id"`
	ServerName   string        `json:"server_name"` // v2
	Branch       string        `json:"branch"`
	State        string        `json:"state"`
	Services     []serviceItem `json:"services"`
	MissingFiles []string      `json:"missing_files"`
}

// serviceItem is an object, but was a plain name in old versions.
type serviceItem struct {
	Service string `json:"service"`
	Image   string `json:"image"`
}

// UnmarshalJSON takes both forms.
func (s *serviceItem) UnmarshalJSON(raw []byte) error {
	type plain serviceItem
	var p plain
	if err := json.Unmarshal(raw, &p); err == nil {
		*s = serviceItem(p)
		return nil
	}
	_ = json.Unmarshal(raw, &s.Service)
	return nil
}

type syncItem struct {
	State string `json:"state"`
}

type serverItem struct {
	State string     `json:"state"`
	Err   *wireError `json:"err"`
}

// wireError is an error as Komodo writes it: {"error": "...", "trace": [...]}, or text.
type wireError struct {
	text string
}

// UnmarshalJSON takes both forms.
func (e *wireError) UnmarshalJSON(raw []byte) error {
	var doc struct {
		Error string   `json:"error"`
		Trace []string `json:"trace"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		_ = json.Unmarshal(raw, &e.text)
		return nil
	}
	e.text = doc.Error
	if len(doc.Trace) > 0 {
		e.text += ": " + strings.Join(doc.Trace, ": ")
	}
	return nil
}

// resource is one in full.
type resource[I, C any] struct {
	ID     id     `json:"_id"`
	Name   string `json:"name"`
	Info   I      `json:"info"`
	Config C      `json:"config"`
}

type contents struct {
	Path     string   `json:"path"`
	Contents string   `json:"contents"`
	Services []string `json:"services"`
}

type stackInfo struct {
	DeployedContents []contents `json:"deployed_contents"`
	RemoteContents   []contents `json:"remote_contents"`
	RemoteErrors     []contents `json:"remote_errors"`
}

type stackConfig struct {
	RunDirectory string `json:"run_directory"`
	Server       string `json:"server_id"`
}

type syncInfo struct {
	ResourceUpdates    []resourceUpdate `json:"resource_updates"`
	VariableUpdates    []diff           `json:"variable_updates"`
	UserGroupUpdates   []diff           `json:"user_group_updates"`
	PendingDeploys     []pendingDeploy  `json:"pending_deploys"`
	PendingError       string           `json:"pending_error"`
	PendingDeployError string           `json:"pending_deploy_error"`
	PendingHash        string           `json:"pending_hash"`
	PendingMessage     string           `json:"pending_message"`
	RemoteErrors       []contents       `json:"remote_errors"`
}

type resourceUpdate struct {
	Target target `json:"target"`
	Data   diff   `json:"data"`
}

// diff is {"type": "Create|Update|Delete", "data": {...}}.
type diff struct {
	Type string `json:"type"`
	Data struct {
		Name     string `json:"name"`
		Proposed string `json:"proposed"`
		Current  string `json:"current"`
	} `json:"data"`
}

type pendingDeploy struct {
	Target target     `json:"target"`
	Reason string     `json:"reason"`
	After  []afterRef `json:"after"`
}

// afterRef is a target, or the name of one.
type afterRef struct{ name string }

// UnmarshalJSON takes both forms.
func (a *afterRef) UnmarshalJSON(raw []byte) error {
	var t target
	if json.Unmarshal(raw, &t) == nil {
		a.name = t.ID
		return nil
	}
	_ = json.Unmarshal(raw, &a.name)
	return nil
}

type logEntry struct {
	Stage   string `json:"stage"`
	Command string `json:"command"`
	Stdout  string `json:"stdout"`
	Stderr  string `json:"stderr"`
	Success bool   `json:"success"`
}

const complete = "Complete"

// update is one execution. Success means nothing before it is complete.
type update struct {
	ID        id         `json:"_id"`
	Operation string     `json:"operation"`
	StartTS   int64      `json:"start_ts"`
	Success   bool       `json:"success"`
	Operator  string     `json:"operator"`
	Target    target     `json:"target"`
	Logs      []logEntry `json:"logs"`
	Status    string     `json:"status"`
}

// updateItem is one in a list.
type updateItem struct {
	ID        id     `json:"id"`
	Operation string `json:"operation"`
	StartTS   int64  `json:"start_ts"`
	Success   bool   `json:"success"`
	Username  string `json:"username"`
	Operator  string `json:"operator"`
	Target    target `json:"target"`
	Status    string `json:"status"`
}

type updateList struct {
	Updates []updateItem `json:"updates"`
}

type alertList struct {
	Alerts []alert `json:"alerts"`
}

type alert struct {
	TS       int64  `json:"ts"`
	Resolved bool   `json:"resolved"`
	Level    string `json:"level"`
	Target   target `json:"target"`
	Data     struct {
		Type string `json:"type"`
		Data struct {
			Name string     `json:"name"`
			Err  *wireError `json:"err"`
		} `json:"data"`
	} `json:"data"`
}

type tagDoc struct {
	ID   id     `json:"_id"`
	Name string `json:"name"`
}

// millis is a time of the API. What no clock shows is no time.
func millis(ts int64) time.Time {
	const year10k = 253402300800000
	if ts <= 0 || ts >= year10k {
		return time.Time{}
	}
	return time.UnixMilli(ts).UTC()
}

// userID reads the id of a user document; "" when it has none.
func userID(raw []byte) id {
	var doc struct {
		ID id `json:"_id"`
	}
	_ = json.Unmarshal(raw, &doc)
	return doc.ID
}
