// Package verify watches services after something was done to them, and says whether they do as well as before.
//
// It is no action: it is what actions give as their Plan.Verify. A Watch is made with the plan, when it notes how
// the services do; the steps tell it what they did where; then it looks at snapshots until there is a verdict.
package verify
