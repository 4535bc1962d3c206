package redeploy

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nexgate-hq/nexops/actions"
	"github.com/nexgate-hq/nexops/actions/compose"
	"github.com/nexgate-hq/nexops/lab/real"
	"github.com/nexgate-hq/nexops/remote"
)

// onFirstOutput calls fn once, when the command has said its first word.
func onFirstOutput(cmd remote.Command, fn func()) remote.Command {
	once := sync.OnceFunc(fn)
	cmd.Stderr = &onFirst{do: once, next: cmd.Stderr}
	cmd.Stdout = &onFirst{do: once, next: cmd.Stdout}
	return cmd
}

// until waits for what the lab does by itself.
func (f *fault) until(what string, there func() bool) {
	f.t.Helper()
	for end := time.Now().Add(time.Minute); !there(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Errorf("%s did not come", what)
			return
		}
	}
}

func cableBefore(_ *testing.T, f *fault) {
	f.on = has("up")
	f.breaks = func(ctx context.Context, h remote.Host, cmd remote.Command) (remote.Result, error) {
		f.must(f.lab.PullCable(ctx, faultHost))
		defer func() { f.must(f.lab.PlugCable(context.WithoutCancel(ctx), faultHost)) }()
		f.until("the end of the connection", func() bool {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, err := h.Run(ctx, remote.Command{Argv: []string{"true"}})
			return err != nil && ctx.Err() == nil
		})
		return h.Run(ctx, cmd) //nolint:wrapcheck // a test
	}
	res := f.goBack(compose.HomeCheckout, nil)
	f.ends(res, actions.OutcomeFailed, "up on prod-1", "it never began", "done: copy tag file on prod-1, write tag on prod-1, switch tag file on prod-1",
		"not done: up on prod-1", "ai on prod-1 still runs "+real.GoodTag)
	f.is(left{tag: real.GoodTag, state: "running", file: "AI_TAG=" + real.FirstTag})
	f.lockExpires(res)
}

// What was begun on the host goes on without the console; only its end is not heard of.
func cableDuring(_ *testing.T, f *fault) {
	f.on = has("up")
	f.breaks = func(ctx context.Context, h remote.Host, cmd remote.Command) (remote.Result, error) {
		defer func() { f.must(f.lab.PlugCable(context.WithoutCancel(ctx), faultHost)) }()
		return h.Run(ctx, onFirstOutput(cmd, func() { f.must(f.lab.PullCable(ctx, faultHost)) })) //nolint:wrapcheck // a test
	}
	res := f.goBack(compose.HomeCheckout, nil)
	f.tookEffectUnseen(res)
}

// sshd is frozen until Compose has done all it had to do, and then dies without having told.
func cableAfter(_ *testing.T, f *fault) {
	f.on = has("up")
	f.breaks = func(ctx context.Context, h remote.Host, cmd remote.Command) (remote.Result, error) {
		defer func() { f.must(f.lab.StartSSHD(context.WithoutCancel(ctx), faultHost)) }()
		return h.Run(ctx, onFirstOutput(cmd, func() { //nolint:wrapcheck // a test
			f.must(f.lab.FreezeSSHD(faultHost))
			f.until("the new container", func() bool {
				events, err := f.lab.EngineEvents(ctx, faultHost, f.service, f.since)
				return err == nil && slices.Contains(events, "create") && slices.Contains(events, "start") && slices.Contains(events, "destroy")
			})
			f.must(f.lab.KillSSHD(ctx, faultHost))
		}))
	}
	res := f.goBack(compose.HomeCheckout, nil)
	f.tookEffectUnseen(res)
}

// tookEffectUnseen: the end of up was never heard. The state decides; when it is what was wanted, it was verified.
func (f *fault) tookEffectUnseen(res result) {
	f.t.Helper()
	f.ends(res, actions.OutcomeGood, "up on prod-1", "connection lost", "not known whether it took effect",
		"the state was read again: the estate runs what the plan wanted")
	f.is(arrived)
	f.lockExpires(res)
}

func engineStopped(_ *testing.T, f *fault) {
	stopped := make(chan struct{})
	var going sync.WaitGroup
	f.on = has("up")
	f.breaks = func(ctx context.Context, h remote.Host, cmd remote.Command) (remote.Result, error) {
		going.Go(func() {
			<-stopped
			// As long as the screen needs to notice, and then it goes on as if nothing had been.
			f.until("a host that cannot be seen", func() bool { return !f.Latest().Hosts[0].Up })
			f.must(f.lab.ContEngine(faultHost))
		})
		return h.Run(ctx, onFirstOutput(cmd, func() { f.must(f.lab.StopEngine(faultHost)); close(stopped) })) //nolint:wrapcheck // a test
	}
	res := f.goBack(compose.HomeCheckout, nil)
	going.Wait()
	f.ends(res, actions.OutcomeGood)
	f.is(arrived)
	f.lockIsFree()
}

// The step has its bound, and then nobody knows: that is said, and the lock does not wait for the Engine.
func engineStoppedForGood(t *testing.T, f *fault) {
	f.timing.Step, f.timing.Reread, f.timing.Settle = 6*time.Second, 6*time.Second, time.Second
	f.on = has("up")
	f.breaks = func(ctx context.Context, h remote.Host, cmd remote.Command) (remote.Result, error) {
		return h.Run(ctx, onFirstOutput(cmd, func() { f.must(f.lab.StopEngine(faultHost)) })) //nolint:wrapcheck // a test
	}
	res := f.goBack(compose.HomeCheckout, nil)
	f.ends(res, actions.OutcomeUnknown, "up on prod-1", "not known whether it took effect", "ai on prod-1 cannot be read")
	f.lockIsFree()
	f.must(f.lab.ContEngine(faultHost))
	// Whatever was half way comes to its end, at most once.
	f.until("an engine that answers", func() bool { _, err := f.instances(t.Context(), faultHost, f.service); return err == nil })
	if l := f.left(); l.created > 1 {
		t.Errorf("created %d times", l.created)
	}
}

func diskFullBefore(t *testing.T, f *fault) {
	f.must(f.lab.FillDisk(t.Context(), faultHost, f.lab.Hosts[faultHost].Checkout))
	p, err := f.action(f.config(compose.HomeCheckout), f.host).Plan(t.Context(), f.Latest(), f.intent())
	if err != nil {
		t.Fatal(err)
	}
	ok, why := p.Runnable()
	t.Log(why)
	if ok || !strings.Contains(why, "git") || !strings.Contains(why, "diskspace") {
		t.Errorf("runnable %v: %s", ok, why)
	}
	f.must(f.lab.EmptyDisk(t.Context(), faultHost, f.lab.Hosts[faultHost].Checkout))
	f.is(untouched)
	f.lockIsFree()
}

func diskFullDuring(t *testing.T, f *fault) {
	dir := f.lab.Hosts[faultHost].Checkout
	res := f.goBack(compose.HomeCheckout, func() { f.must(f.lab.FillDisk(t.Context(), faultHost, dir)) })
	f.ends(res, actions.OutcomeFailed, "copy tag file on prod-1", "No space left on device", "not done: copy tag file on prod-1, write tag on prod-1, switch tag file on prod-1, up on prod-1",
		"ai on prod-1 still runs "+real.GoodTag)
	f.is(untouched) // on the full disk: no half file is left there
	f.must(f.lab.EmptyDisk(t.Context(), faultHost, dir))
	f.is(untouched)
	f.lockIsFree()
}

// The commit is pushed, and the host cannot take it: what was done and what was not stands there.
func diskFullPull(t *testing.T, f *fault) {
	dir := f.lab.Hosts[faultHost].Checkout
	res := f.goBack(compose.HomeGit, func() { f.must(f.lab.FillDisk(t.Context(), faultHost, dir)) })
	f.ends(res, actions.OutcomeFailed, "pull checkout on prod-1", "couldn't write", "done: push tag commit", "not done: pull checkout on prod-1, up on prod-1", "ai on prod-1 still runs "+real.GoodTag)
	f.must(f.lab.EmptyDisk(t.Context(), faultHost, dir))
	f.is(untouched)
	f.lockIsFree()
}

func diskFullLock(t *testing.T, f *fault) {
	if _, err := f.lab.SSH(t.Context(), faultHost, "mkdir", "-m", "1777", "/tmp/nexops-locks"); err != nil {
		t.Fatal(err)
	}
	res := f.goBack(compose.HomeCheckout, func() { f.must(f.lab.FillDisk(t.Context(), faultHost, "/tmp/nexops-locks")) })
	f.ends(res, actions.OutcomeFailed, "nothing was done: lock on prod-1", "No space left on device")
	if out, _ := f.lab.SSH(t.Context(), faultHost, "sh", "-c", "ls /tmp/nexops-locks"); strings.TrimSpace(out) != "" {
		t.Errorf("a lock that nobody holds was left: %s", out)
	}
	f.must(f.lab.EmptyDisk(t.Context(), faultHost, "/tmp/nexops-locks"))
	f.is(untouched)
}

func diskFullEngine(t *testing.T, f *fault) {
	f.forgetImage()
	res := f.goBack(compose.HomeCheckout, func() { f.must(f.lab.FillDisk(t.Context(), faultHost, f.lab.Hosts[faultHost].Dir+"/docker/image")) })
	f.ends(res, actions.OutcomeFailed, "pull image on prod-1", "no space left on device",
		"not done: pull image on prod-1, copy tag file on prod-1, write tag on prod-1, switch tag file on prod-1, up on prod-1", "ai on prod-1 still runs "+real.GoodTag)
	f.must(f.lab.EmptyDisk(t.Context(), faultHost, f.lab.Hosts[faultHost].Dir+"/docker/image"))
	f.is(untouched)
	f.lockIsFree()
}

// forgetImage takes the release to go to from the host.
func (f *fault) forgetImage() {
	f.t.Helper()
	if _, err := f.lab.SSH(f.t.Context(), faultHost, "docker", "rmi", f.image()+":"+real.FirstTag); err != nil {
		f.t.Fatal(err)
	}
}

// refused plans, and nothing else.
func (f *fault) refused(words ...string) {
	f.t.Helper()
	p, err := f.action(f.config(compose.HomeCheckout), f.host).Plan(f.t.Context(), f.Latest(), f.intent())
	if err != nil {
		f.t.Fatal(err)
	}
	ok, why := p.Runnable()
	f.t.Log(why)
	for _, w := range words {
		if ok || !strings.Contains(why, w) {
			f.t.Errorf("runnable %v: %s", ok, why)
		}
	}
	f.is(untouched)
	f.lockIsFree()
}

func registryDownBefore(t *testing.T, f *fault) {
	f.forgetImage()
	f.must(f.lab.StopRegistry(t.Context()))
	f.refused("not on the host, and it cannot be pulled", "connection refused")
}

func registryDownDuring(t *testing.T, f *fault) {
	f.forgetImage()
	res := f.goBack(compose.HomeCheckout, func() { f.must(f.lab.StopRegistry(t.Context())) })
	f.ends(res, actions.OutcomeFailed, "pull image on prod-1", "connection refused",
		"not done: pull image on prod-1, copy tag file on prod-1, write tag on prod-1, switch tag file on prod-1, up on prod-1", "ai on prod-1 still runs "+real.GoodTag)
	f.is(untouched)
	f.lockIsFree()
}

// No commit says that a release is wanted which no host can pull: the reconciler would run into it.
func registryDownGit(t *testing.T, f *fault) {
	f.forgetImage()
	before := ""
	res := f.goBack(compose.HomeGit, func() {
		f.must(f.lab.StopRegistry(t.Context()))
		before = f.branchHead()
	})
	f.ends(res, actions.OutcomeFailed, "pull image on prod-1", "connection refused", "not done: pull image on prod-1, push tag commit, pull checkout on prod-1, up on prod-1")
	f.is(untouched)
	f.lockIsFree()
	if after := f.branchHead(); after != before {
		t.Errorf("the branch was at %s, and is at %s", before, after)
	}
}

// branchHead is the last commit of the infra repo, and what it is.
func (f *fault) branchHead() string {
	f.t.Helper()
	head, err := f.lab.SSH(f.t.Context(), "ops", "git", "-C", "/srv/git/nexgate-infra.git", "log", "-1", "--format=%H %s", "master")
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.TrimSpace(head)
}

// A release whose image is on the host needs no registry: in an outage that is how one gets back.
func registryNotNeeded(t *testing.T, f *fault) {
	f.must(f.lab.StopRegistry(t.Context()))
	f.ends(f.goBack(compose.HomeCheckout, nil), actions.OutcomeGood)
	f.is(arrived)
	f.lockIsFree()
}

func pruned(t *testing.T, f *fault) {
	f.forgetImage()
	f.must(f.lab.Unpublish(t.Context(), f.service, real.FirstTag))
	f.refused("not on the host, and it cannot be pulled", "no such manifest")
}

func pushRejected(t *testing.T, f *fault) {
	res := f.goBack(compose.HomeGit, func() {
		f.must(f.lab.Commit(t.Context(), "master", "ai: deploy 0.1.3 to prod", map[string]string{"services/ai/tag.env": "AI_TAG=0.1.3\n"}))
	})
	f.ends(res, actions.OutcomeFailed, "push tag commit", "not pushed, somebody was faster", "by nexgate-ci: ai: deploy 0.1.3 to prod", "make the plan again")
	f.is(untouched)
	f.lockIsFree()
	if strings.Contains(res.why, "done: push") && !strings.Contains(res.why, "not done: push") {
		t.Errorf("said to be pushed: %s", res.why)
	}
	if head := f.branchHead(); !strings.HasSuffix(head, " ai: deploy 0.1.3 to prod") {
		t.Errorf("the branch is at %q", head)
	}
}

func clockAhead(t *testing.T, f *fault) {
	f.must(f.lab.SkewClock(t.Context(), faultHost, 10*time.Minute))
	f.skewed()
	f.must(f.lab.SkewClock(t.Context(), faultHost, 0))
}

func clockBehind(_ *testing.T, f *fault) {
	f.clock(func() time.Time { return time.Now().Add(-10 * time.Minute) })
	defer f.clock(time.Now)
	f.skewed()
}

// skewed: the plan says that the clocks differ, and all else is as ever.
func (f *fault) skewed() {
	f.t.Helper()
	p, err := New(f.config(compose.HomeCheckout), Deps{Host: f.host, CacheDir: f.t.TempDir(), Now: f.time}).Plan(f.t.Context(), f.Latest(), f.intent())
	if err != nil {
		f.t.Fatal(err)
	}
	said := ""
	for _, c := range p.Checks {
		if strings.HasPrefix(c.Name, "clock") {
			said = c.Detail
		}
	}
	f.t.Log(said)
	if !strings.Contains(said, "9 min off") && !strings.Contains(said, "10 min off") {
		f.t.Errorf("the plan says of the clock: %q", said)
	}
	f.ends(f.goBack(compose.HomeCheckout, nil), actions.OutcomeGood)
	f.is(arrived)
	f.lockIsFree()
}
