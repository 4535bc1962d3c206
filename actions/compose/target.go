package compose

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Compose's labels on its containers.
const (
	LabelDir      = "com.docker.compose.project.working_dir"
	LabelFiles    = "com.docker.compose.project.config_files"
	LabelEnvFiles = "com.docker.compose.project.environment_file"
	LabelNumber   = "com.docker.compose.container-number"
)

// namePattern is what a service or project may be called: the names come from the
// containers' labels and end in paths and argv.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// IsName reports whether a word of a label may stand for a service or project: in argv it can never be taken for an option.
func IsName(word string) bool { return namePattern.MatchString(word) }

// imagePattern is what the repository of an image may be called: it stands in argv.
var imagePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]*$`)

// IsImage reports whether a word may stand for an image's repository in argv.
func IsImage(word string) bool { return imagePattern.MatchString(word) }

// Places finds out where services run, from the labels of their containers and from the config, whose word comes first.
type Places struct {
	Program  []string                      // docker compose
	Override func(service string) Override // what the config says of one service; nil: nothing
	Table    string                        // of the config, named to people: "actions.redeploy"
	Owners   []string                      // users of the hosts whose folders may be run in, besides root's and the own one's
}

func (f Places) override(service string) Override {
	if f.Override == nil {
		return Override{}
	}
	return f.Override(service)
}

// table is where people write what is not found out.
func (f Places) table(service string) string {
	return fmt.Sprintf("[%s.services.%s]", f.Table, service)
}

// Target is a service and where it runs.
type Target struct {
	Key     fleet.ServiceKey
	Service string // in the Compose files
	Hosts   []*Place
	Image   string // repository, of the first instance
}

// Place is a target on one host.
type Place struct {
	Host     string
	Project  string
	Dir      string
	Files    []string
	EnvFiles []string
	Told     []string // those paths that only the labels tell of
	Checkout string   // from the config; "" is found out
	From     fleet.Release
	Numbers  map[string]bool // of the instances: a left-over of a re-creation has the number of another
}

// Count is how many instances there are meant to be.
func (p *Place) Count() int { return len(p.Numbers) }

// Pick tells the instances that are the target's own from its companions.
func (t *Target) Pick(in *fleet.Instance) bool {
	return !in.OneOff && in.Subject.Service == t.Service
}

// HostNames are the hosts of the target, in the order in which they are worked on.
func (t *Target) HostNames() []string {
	var out []string
	for _, p := range t.Hosts {
		out = append(out, p.Host)
	}
	return out
}

// Find reads from a snapshot what runs where. Its error is a reason in words. The service
// is given also with an error, when it is in the estate.
func (f Places) Find(snap *fleet.Snapshot, refs []fleet.Ref) (*Target, *fleet.Service, error) {
	if len(refs) == 0 {
		return nil, nil, errors.New("no service is chosen")
	}
	for _, r := range refs {
		if r.Service != refs[0].Service {
			return nil, nil, errors.New("one service at a time")
		}
	}
	key := refs[0].Service
	svc, ok := snap.Find(key)
	if !ok {
		return nil, nil, fmt.Errorf("%s is not in the estate", key)
	}
	if !namePattern.MatchString(key.Name) {
		return nil, svc, fmt.Errorf("%q cannot be part of a path", remote.Clean(key.Name))
	}
	t := &Target{Key: key}
	if err := f.chooseService(t, svc); err != nil {
		return nil, svc, err
	}
	for _, in := range svc.Instances {
		if !t.Pick(in) {
			continue
		}
		if err := f.add(t, in); err != nil {
			return nil, svc, err
		}
	}
	sort.Slice(t.Hosts, func(i, j int) bool { return t.Hosts[i].Host < t.Hosts[j].Host })
	return t, svc, nil
}

// FindSeen is Find for what is to be done now: the hosts can be seen, and a container is there.
func (f Places) FindSeen(snap *fleet.Snapshot, refs []fleet.Ref) (*Target, *fleet.Service, error) {
	t, svc, err := f.Find(snap, refs)
	switch {
	case err != nil:
		return nil, nil, err
	case svc.Stale || svc.Seen.IsZero():
		return nil, nil, errors.New("its hosts cannot be seen now: the facts about it are too old")
	case len(t.Hosts) == 0:
		return nil, nil, fmt.Errorf("no container of the Compose service %s is there", t.Service)
	}
	return t, svc, nil
}

// chooseService finds which Compose service is meant: a row may also have companions.
func (f Places) chooseService(t *Target, svc *fleet.Service) error {
	if len(svc.Instances) == 0 {
		return errors.New("it has no instance: nothing says how it is run")
	}
	if name := f.override(t.Key.Name).Service; name != "" {
		t.Service = name
		return nil
	}
	byName := map[string]bool{}
	for _, in := range svc.Instances {
		if in.OneOff || in.Subject.Service == "" {
			continue
		}
		if in.Subject.Service == t.Key.Name {
			t.Service = t.Key.Name
			return nil
		}
		if in.Release.Image == svc.Releases.Running.Image {
			byName[in.Subject.Service] = true
		}
	}
	switch len(byName) {
	case 0:
		return errors.New("its containers are not Compose's: they have no com.docker.compose labels")
	case 1:
		for name := range byName {
			t.Service = name
		}
		return nil
	default:
		return fmt.Errorf("several Compose services are meant: say which in %s service", f.table(t.Key.Name))
	}
}

// CheckTags makes sure that all instances are of one image, started by tag: else there is no tag to change.
func (t *Target) CheckTags(svc *fleet.Service) error {
	for _, in := range svc.Instances {
		switch {
		case !t.Pick(in):
		case in.Release.Image == "" || in.Release.Tag == "":
			return fmt.Errorf("%s on %s was started by digest, not by tag: there is no tag to put back", in.Name, in.Host)
		case !imagePattern.MatchString(in.Release.Image) || !tagGrammar.MatchString(in.Release.Tag):
			return fmt.Errorf("%s on %s runs %q, which is no name of an image", in.Name, in.Host, remote.Clean(in.Release.Ref()))
		case in.Release.Image != t.Image:
			return fmt.Errorf("its instances run different images: %s and %s", t.Image, in.Release.Image)
		}
	}
	return nil
}

// add takes one instance in.
func (f Places) add(t *Target, in *fleet.Instance) error {
	if t.Image == "" {
		t.Image = in.Release.Image
	}
	here, err := f.place(t, in)
	if err != nil {
		return err
	}
	for _, p := range t.Hosts {
		switch {
		case p.Host != in.Host:
			continue
		case p.Project != here.Project:
			return fmt.Errorf("on %s it is in two Compose projects, %s and %s: say which in %s project",
				in.Host, p.Project, here.Project, f.table(t.Key.Name))
		case here.Dir != p.Dir || !slices.Equal(here.Files, p.Files) || !slices.Equal(here.EnvFiles, p.EnvFiles):
			return fmt.Errorf("on %s its containers tell of different Compose files: say dir, files and env_files in %s",
				in.Host, f.table(t.Key.Name))
		}
		p.Numbers[in.Labels[LabelNumber]] = true
		if in.Life.CreatedAt.After(p.From.At) {
			p.From = here.From
		}
		return nil
	}
	t.Hosts = append(t.Hosts, here)
	return nil
}

// place reads a host's project from the labels of a container, the config's word first.
func (f Places) place(t *Target, in *fleet.Instance) (*Place, error) {
	o := f.override(t.Key.Name)
	p := &Place{
		Host: in.Host, Project: in.Subject.Project, Dir: o.Dir, Checkout: o.Checkout,
		From: in.Release, Numbers: map[string]bool{in.Labels[LabelNumber]: true},
	}
	p.From.At = in.Life.CreatedAt // of a place, when its instance was made
	if o.Project != "" {
		p.Project = o.Project
	}
	if p.Dir == "" {
		p.Dir = in.Labels[LabelDir]
		p.Told = append(p.Told, p.Dir)
	}
	p.Files = p.paths(o.Files, in.Labels[LabelFiles])
	p.EnvFiles = p.paths(o.EnvFiles, in.Labels[LabelEnvFiles])
	switch {
	case !namePattern.MatchString(p.Project) || !namePattern.MatchString(t.Service):
		return nil, fmt.Errorf("%s on %s has no usable Compose project and service", in.Name, in.Host)
	case !path.IsAbs(p.Dir):
		return nil, fmt.Errorf("%s on %s does not say its project's folder: say it in %s dir", in.Name, in.Host, f.table(t.Key.Name))
	case len(p.Files) == 0:
		return nil, fmt.Errorf("%s on %s does not say its Compose files: say them in %s files", in.Name, in.Host, f.table(t.Key.Name))
	}
	return p, nil
}

// paths are those of the config, else those of a label, below the project's folder.
func (p *Place) paths(configured []string, label string) []string {
	list := configured
	if len(list) == 0 {
		list = split(label)
	}
	var out []string
	for _, f := range list {
		if !path.IsAbs(f) {
			f = path.Join(p.Dir, f)
		}
		out = append(out, f)
	}
	if len(configured) == 0 {
		p.Told = append(p.Told, out...)
	}
	return out
}

func split(list string) []string {
	var out []string
	for _, s := range strings.Split(list, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// TagsEverywhere are the tags of the repository whose images lie on every host of the target.
func (t *Target) TagsEverywhere(snap *fleet.Snapshot) map[string]bool {
	on := map[string]map[string]bool{}
	for _, im := range snap.Images {
		for _, ref := range im.Tags {
			if tag, ok := strings.CutPrefix(ref, t.Image+":"); ok {
				if on[tag] == nil {
					on[tag] = map[string]bool{}
				}
				on[tag][im.Host] = true
			}
		}
	}
	out := map[string]bool{}
	for tag, hosts := range on {
		if !slices.ContainsFunc(t.Hosts, func(p *Place) bool { return !hosts[p.Host] }) {
			out[tag] = true
		}
	}
	return out
}
