package redeploy

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/fleet"
	"github.com/nexgate-hq/nexops/remote"
)

// Compose's labels on its containers.
const (
	labelDir      = "com.docker.compose.project.working_dir"
	labelFiles    = "com.docker.compose.project.config_files"
	labelEnvFiles = "com.docker.compose.project.environment_file"
	labelNumber   = "com.docker.compose.container-number"
)

// namePattern is what a service or project may be called: the names come from the
// containers' labels and end in paths and argv.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// imagePattern is what the repository of an image may be called: it stands in argv.
var imagePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]*$`)

// target is the service to redeploy and where it runs.
type target struct {
	key     fleet.ServiceKey
	service string // in the Compose files
	hosts   []*place
	image   string // repository
	to      fleet.Release
}

// place is the target on one host.
type place struct {
	host     string
	project  string
	dir      string
	files    []string
	envFiles []string
	told     []string // those paths that only the labels tell of
	checkout string   // from the config; "" is found out
	from     fleet.Release
	numbers  map[string]bool // of the instances: a left-over of a re-creation has the number of another
}

// count is how many instances there are meant to be.
func (p *place) count() int { return len(p.numbers) }

// pick tells the instances that are the target's own from its companions.
func (t *target) pick(in fleet.Instance) bool {
	return !in.OneOff && in.Subject.Service == t.service
}

// findTarget reads from a snapshot what runs where. Its error is a reason in words.
func findTarget(cfg *Config, snap *fleet.Snapshot, refs []fleet.Ref) (*target, *fleet.Service, error) {
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
	t := &target{key: key}
	if err := t.chooseService(cfg, svc); err != nil {
		return nil, svc, err
	}
	for _, in := range svc.Instances {
		if !t.pick(in) {
			continue
		}
		if err := t.add(cfg, in); err != nil {
			return nil, svc, err
		}
	}
	sort.Slice(t.hosts, func(i, j int) bool { return t.hosts[i].host < t.hosts[j].host })
	return t, svc, nil
}

// chooseService finds which Compose service is meant: a row may also have companions.
func (t *target) chooseService(cfg *Config, svc *fleet.Service) error {
	if len(svc.Instances) == 0 {
		return errors.New("it has no instance: nothing says how it is run")
	}
	if name := cfg.Services[t.key.Name].Service; name != "" {
		t.service = name
		return nil
	}
	byName := map[string]bool{}
	for _, in := range svc.Instances {
		if in.OneOff || in.Subject.Service == "" {
			continue
		}
		if in.Subject.Service == t.key.Name {
			t.service = t.key.Name
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
			t.service = name
		}
		return nil
	default:
		return fmt.Errorf("several Compose services are meant: say which in [actions.redeploy.services.%s] service", t.key.Name)
	}
}

// add takes one instance in.
func (t *target) add(cfg *Config, in fleet.Instance) error {
	if t.image == "" {
		t.image = in.Release.Image
	}
	if in.Release.Image == "" || in.Release.Tag == "" {
		return fmt.Errorf("%s on %s was started by digest, not by tag: there is no tag to put back", in.Name, in.Host)
	}
	if !imagePattern.MatchString(in.Release.Image) || !tagGrammar.MatchString(in.Release.Tag) {
		return fmt.Errorf("%s on %s runs %q, which is no name of an image", in.Name, in.Host, remote.Clean(in.Release.Ref()))
	}
	if in.Release.Image != t.image {
		return fmt.Errorf("its instances run different images: %s and %s", t.image, in.Release.Image)
	}
	for _, p := range t.hosts {
		if p.host != in.Host {
			continue
		}
		p.numbers[in.Labels[labelNumber]] = true
		if p.project != project(cfg, t.key, in) {
			return fmt.Errorf("on %s it is in two Compose projects, %s and %s: say which in [actions.redeploy.services.%s] project",
				in.Host, p.project, in.Subject.Project, t.key.Name)
		}
		if other, err := newPlace(cfg, t.key, t.service, in); err != nil {
			return err
		} else if other.dir != p.dir || !slices.Equal(other.files, p.files) || !slices.Equal(other.envFiles, p.envFiles) {
			return fmt.Errorf("on %s its containers tell of different Compose files: say dir, files and env_files in [actions.redeploy.services.%s]",
				in.Host, t.key.Name)
		}
		if in.Life.CreatedAt.After(p.from.At) {
			p.from = fromOf(in)
		}
		return nil
	}
	p, err := newPlace(cfg, t.key, t.service, in)
	if err != nil {
		return err
	}
	t.hosts = append(t.hosts, p)
	return nil
}

func project(cfg *Config, key fleet.ServiceKey, in fleet.Instance) string {
	if p := cfg.Services[key.Name].Project; p != "" {
		return p
	}
	return in.Subject.Project
}

// fromOf is the release of an instance; At is when the instance was made.
func fromOf(in fleet.Instance) fleet.Release {
	r := in.Release
	r.At = in.Life.CreatedAt
	return r
}

// newPlace reads a host's project from the labels of a container, the config's word first.
func newPlace(cfg *Config, key fleet.ServiceKey, service string, in fleet.Instance) (*place, error) {
	o := cfg.Services[key.Name]
	p := &place{
		host: in.Host, project: project(cfg, key, in), dir: o.Dir,
		checkout: o.Checkout, from: fromOf(in), numbers: map[string]bool{in.Labels[labelNumber]: true},
	}
	if p.dir == "" {
		p.dir = in.Labels[labelDir]
		p.told = append(p.told, p.dir)
	}
	p.files = p.paths(o.Files, in.Labels[labelFiles])
	p.envFiles = p.paths(o.EnvFiles, in.Labels[labelEnvFiles])
	switch {
	case !namePattern.MatchString(p.project) || !namePattern.MatchString(service):
		return nil, fmt.Errorf("%s on %s has no usable Compose project and service", in.Name, in.Host)
	case !path.IsAbs(p.dir):
		return nil, fmt.Errorf("%s on %s does not say its project's folder: say it in [actions.redeploy.services.%s] dir", in.Name, in.Host, key.Name)
	case len(p.files) == 0:
		return nil, fmt.Errorf("%s on %s does not say its Compose files: say them in [actions.redeploy.services.%s] files", in.Name, in.Host, key.Name)
	}
	return p, nil
}

// paths are those of the config, else those of a label, below the project's folder.
func (p *place) paths(configured []string, label string) []string {
	list := configured
	if len(list) == 0 {
		list = split(label)
	}
	var out []string
	for _, f := range list {
		if !path.IsAbs(f) {
			f = path.Join(p.dir, f)
		}
		out = append(out, f)
	}
	if len(configured) == 0 {
		p.told = append(p.told, out...)
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

// releases are all that may be gone back to: the history, what runs, and the images on all hosts.
func (t *target) releases(svc *fleet.Service, snap *fleet.Snapshot) []fleet.Release {
	var out []fleet.Release
	add := func(r fleet.Release) {
		if r.Tag != "" && !slices.ContainsFunc(out, func(o fleet.Release) bool { return o.Tag == r.Tag }) {
			if r.Image == "" {
				r.Image = t.image
			}
			out = append(out, r)
		}
	}
	add(svc.Releases.Previous)
	for _, r := range svc.Releases.History {
		add(r)
	}
	for _, p := range t.hosts {
		add(p.from)
	}
	for tag := range t.tagsEverywhere(snap) {
		add(fleet.Release{Image: t.image, Tag: tag})
	}
	return out
}

// tagsEverywhere are the tags of the repository whose images lie on every host of the target.
func (t *target) tagsEverywhere(snap *fleet.Snapshot) map[string]bool {
	on := map[string]map[string]bool{}
	for _, im := range snap.Images {
		for _, ref := range im.Tags {
			if tag, ok := strings.CutPrefix(ref, t.image+":"); ok {
				if on[tag] == nil {
					on[tag] = map[string]bool{}
				}
				on[tag][im.Host] = true
			}
		}
	}
	out := map[string]bool{}
	for tag, hosts := range on {
		if !slices.ContainsFunc(t.hosts, func(p *place) bool { return !hosts[p.host] }) {
			out[tag] = true
		}
	}
	return out
}

// choose sets the release to go to: a tag, or the previous one when tag is "".
func (t *target) choose(svc *fleet.Service, snap *fleet.Snapshot, tag string) error {
	if tag == "" {
		t.to = svc.Releases.Previous
		if t.to.Tag == "" {
			return errors.New("no previous release is known: neither git nor the images on the hosts tell of one")
		}
		t.to.Image = t.image
		return nil
	}
	var known []string
	for _, r := range t.releases(svc, snap) {
		if r.Tag == tag {
			t.to = r
			t.to.Image = t.image
			return nil
		}
		known = append(known, r.Tag)
	}
	const most = 8
	if len(known) > most {
		known = append(known[:most], "...")
	}
	return fmt.Errorf("%s is no release of %s that is known: there is %s", remote.Clean(tag), t.key, strings.Join(known, ", "))
}

// there reports whether every instance on every host already is what is wanted, and runs: one that
// a cut connection left created but not started is not there.
func (t *target) there(svc *fleet.Service) bool {
	for _, in := range svc.Instances {
		if !t.pick(in) {
			continue
		}
		if in.State != fleet.StateRunning || in.Release.Tag != t.to.Tag || !actions.SameArtifact(in.Release, t.to) {
			return false
		}
	}
	return true
}

// hostNames are the hosts of the target, in the order in which they are worked on.
func (t *target) hostNames() []string {
	var out []string
	for _, p := range t.hosts {
		out = append(out, p.host)
	}
	return out
}
