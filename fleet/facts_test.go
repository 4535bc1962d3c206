package fleet

import "testing"

// What is read through a host that cannot be seen fails with it: one reason is enough.
func TestASourceFollowsItsHost(t *testing.T) {
	locks := SourceStatus{Kind: "locks", Name: "prod-1", Guest: "prod-1", State: SourceFailing, Error: "locks prod-1: ssh prod-1: refused"}
	up, down := []Host{{Name: "prod-1", Up: true}, {Name: "prod-2"}}, []Host{{Name: "prod-1"}, {Name: "prod-2", Up: true}}
	if locks.Follows(up) || !locks.Follows(down) || (SourceStatus{}).Follows(down) {
		t.Errorf("%v with the host up, %v without it", locks.Follows(up), locks.Follows(down))
	}
	if got := locks.Why(); got != "ssh prod-1: refused" {
		t.Errorf("why: %q", got)
	}
}
