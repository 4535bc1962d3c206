package actions

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// The parts of st_mode.
const (
	modeType      = 0o170000
	modeFolder    = 0o040000
	modeSticky    = 0o1000
	modeByOthers  = 0o022
	statFields    = 2
	superuser     = "0"
	howToSetOneUp = "make a folder that only root can change (mode 1777 when several users share it) and name it as dir of [actions.lock]"
)

// folderState is who owns a folder on a host and who may change it.
type folderState struct {
	uid  string
	mode uint64
}

// guard makes sure, before anything is written, that nobody else can put something in the lock's place:
// the folder of the locks is a real one of root's or our own, and so are the locks named. made is a
// folder that we have just made: who owns it is who we are.
func (f *lockFolder) guard(ctx context.Context, made string, own ...string) error {
	argv := append([]string{"stat", "-c", "%u %f", f.dir, made}, own...)
	res, err := f.run(ctx, nil, argv...)
	if err != nil {
		return err
	}
	states, ok := folderStates(string(res.Stdout))
	if res.Code != 0 || !ok || len(states) != len(own)+2 {
		return f.failed(strings.Join(argv, " "), res)
	}
	dir, me := states[0], states[1].uid
	switch {
	case dir.mode&modeType != modeFolder:
		return f.unsafe(f.dir, "is no folder of its own but a link or a file")
	case dir.uid != me && dir.uid != superuser:
		return f.unsafe(f.dir, "belongs to user "+dir.uid+", who could forge and remove locks")
	case dir.mode&modeByOthers != 0 && dir.mode&modeSticky == 0:
		return f.unsafe(f.dir, "can be changed by others, who could forge and remove locks")
	}
	for i, path := range own {
		if s := states[i+2]; s.mode&modeType != modeFolder || s.uid != me {
			return f.unsafe(path, "is not ours to take over: it belongs to user "+s.uid+": when nothing stands behind it any more, remove it by hand")
		}
	}
	return nil
}

func (f *lockFolder) unsafe(path, why string) error {
	if path == f.dir {
		why += ": " + howToSetOneUp
	}
	return saidError(fmt.Sprintf("lock on %s: %s %s", f.host.Name(), path, why))
}

// folderStates reads "1000 41ed", one line a folder.
func folderStates(out string) ([]folderState, bool) {
	var list []folderState
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		fields := strings.Fields(line)
		if len(fields) != statFields {
			return nil, false
		}
		_, err := strconv.ParseUint(fields[0], 10, 64)
		mode, merr := strconv.ParseUint(fields[1], 16, 64)
		if err != nil || merr != nil {
			return nil, false
		}
		list = append(list, folderState{uid: fields[0], mode: mode})
	}
	return list, true
}
