package komodo

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nexgate-hq/nexops/fleet"
)

// Of a stack with very many files that differ some are shown; how many are not is said, and every service is known all the same.
func TestFilesThatAreCut(t *testing.T) {
	s := &Source{cfg: *NewConfig()}
	var doc resource[stackInfo, stackConfig]
	for i := range maxFiles + 7 {
		doc.Info.RemoteContents = append(doc.Info.RemoteContents, contents{Path: fmt.Sprintf("services/s%02d/tag.env", i), Contents: "X"})
	}
	files, more, services := s.differ(doc)
	if len(files) != maxFiles || more != 7 || len(services) != maxFiles+7 {
		t.Errorf("%d files, %d more, %d services", len(files), more, len(services))
	}
	cut := []fleet.Sync{{Name: "nexgate-prod", Deploys: []fleet.SyncDeploy{{Stack: "nexgate", Files: files, More: more}}}}
	if got := s.warnings(&view{}, cut); len(got) != 1 || !strings.Contains(got[0], "57 files of stack nexgate differ, only 50 of them are read") {
		t.Errorf("warnings %q", got)
	}
}
