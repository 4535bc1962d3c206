package actions

// Confirm is what a person has to do before an action runs.
type Confirm string

// The ways to confirm, mildest first.
const (
	ConfirmNone  Confirm = "none"  // runs at once
	ConfirmY     Confirm = "y"     // one key
	ConfirmType  Confirm = "type"  // the service and environment are typed: "ai@prod"
	ConfirmNever Confirm = "never" // not from this console
)

// Confirmation is what the person did.
type Confirmation struct {
	Yes   bool   // pressed y, or --yes
	Typed string // what was typed, exactly; one trailing newline is forgiven
}
