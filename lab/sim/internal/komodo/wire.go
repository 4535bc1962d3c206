package komodo

import "encoding/json"

// The documents of the API, as far as they are answered.

type oid struct {
	OID string `json:"$oid"`
}

type target struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type logEntry struct {
	Stage   string `json:"stage"`
	Command string `json:"command"`
	Stdout  string `json:"stdout"`
	Stderr  string `json:"stderr"`
	Success bool   `json:"success"`
	StartTS int64  `json:"start_ts"`
	EndTS   int64  `json:"end_ts"`
}

// The states of an update.
const (
	queued     = "Queued"
	inProgress = "InProgress"
	complete   = "Complete"
)

type update struct {
	ID         oid            `json:"_id,omitzero"`
	Operation  string         `json:"operation"`
	StartTS    int64          `json:"start_ts"`
	Success    bool           `json:"success"`
	Operator   string         `json:"operator"`
	Target     target         `json:"target"`
	Logs       []logEntry     `json:"logs"`
	EndTS      *int64         `json:"end_ts,omitempty"`
	Status     string         `json:"status"`
	Version    map[string]int `json:"version"`
	CommitHash string         `json:"commit_hash"`
	OtherData  string         `json:"other_data"`
}

func (u *update) fail(stage, text string, now int64) {
	u.Logs = append(u.Logs, logEntry{Stage: stage, Stderr: text, StartTS: now, EndTS: now})
	u.Success = false
	u.finish(now)
}

func (u *update) finish(now int64) {
	u.Status, u.EndTS = complete, &now
}

// item is an update in a list and on the websocket: without logs, hash or end.
type item struct {
	ID        string         `json:"id"`
	Operation string         `json:"operation"`
	StartTS   int64          `json:"start_ts"`
	Success   bool           `json:"success"`
	Username  string         `json:"username"`
	Operator  string         `json:"operator"`
	Target    target         `json:"target"`
	Status    string         `json:"status"`
	Version   map[string]int `json:"version"`
	OtherData string         `json:"other_data"`
}

type listItem struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"`
	Name     string   `json:"name"`
	Template bool     `json:"template"`
	Tags     []string `json:"tags"`
	Info     any      `json:"info"`
}

type resource struct {
	ID          oid      `json:"_id"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Template    bool     `json:"template"`
	Tags        []string `json:"tags"`
	Info        any      `json:"info"`
	Config      any      `json:"config"`
	UpdatedAt   int64    `json:"updated_at"`
}

type contents struct {
	Path     string   `json:"path"`
	Contents string   `json:"contents"`
	Services []string `json:"services,omitempty"`
	Requires string   `json:"requires,omitempty"`
}

type stackService struct {
	ServiceName   string `json:"service_name"`
	ContainerName string `json:"container_name"`
	Image         string `json:"image"`
	ImageDigest   string `json:"image_digest,omitempty"`
}

type stackInfo struct {
	MissingFiles     []string       `json:"missing_files"`
	DeployedProject  string         `json:"deployed_project_name,omitempty"`
	DeployedHash     string         `json:"deployed_hash,omitempty"`
	DeployedMessage  string         `json:"deployed_message,omitempty"`
	DeployedContents []contents     `json:"deployed_contents,omitempty"`
	DeployedServices []stackService `json:"deployed_services,omitempty"`
	LatestServices   []stackService `json:"latest_services"`
	RemoteContents   []contents     `json:"remote_contents,omitempty"`
	RemoteErrors     []contents     `json:"remote_errors,omitempty"`
	LatestHash       string         `json:"latest_hash,omitempty"`
	LatestMessage    string         `json:"latest_message,omitempty"`
}

type diffData struct {
	Type string         `json:"type"` // Create, Update, Delete
	Data map[string]any `json:"data"`
}

type resourceUpdate struct {
	Target target   `json:"target"`
	Data   diffData `json:"data"`
}

type pendingDeploy struct {
	Target target   `json:"target"`
	Reason string   `json:"reason"`
	After  []target `json:"after"`
}

type syncInfo struct {
	LastSyncTS         int64            `json:"last_sync_ts"`
	LastSyncHash       string           `json:"last_sync_hash,omitempty"`
	LastSyncMessage    string           `json:"last_sync_message,omitempty"`
	ResourceUpdates    []resourceUpdate `json:"resource_updates"`
	VariableUpdates    []diffData       `json:"variable_updates"`
	UserGroupUpdates   []diffData       `json:"user_group_updates"`
	PendingDeploys     []pendingDeploy  `json:"pending_deploys"`
	PendingError       string           `json:"pending_error,omitempty"`
	PendingDeployError string           `json:"pending_deploy_error,omitempty"`
	PendingHash        string           `json:"pending_hash,omitempty"`
	PendingMessage     string           `json:"pending_message,omitempty"`
	RemoteContents     []contents       `json:"remote_contents"`
	RemoteErrors       []contents       `json:"remote_errors"`
}

// params are those of every request, whatever it is; each takes its own.
type params struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Stack     string          `json:"stack"`
	Sync      string          `json:"sync"`
	Services  []string        `json:"services"`
	Resources []string        `json:"resources"`
	Limit     *int            `json:"limit"`
	Page      int             `json:"page"`
	Query     json.RawMessage `json:"query"`
}
