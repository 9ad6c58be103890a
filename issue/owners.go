package issue

import (
	"github.com/millrace/millrace/exception"
)

// OwnerRule gives new issues to an owner. The first rule that matches counts. A
// project's rules are the JSON of millrace.IssueSettings.Owners, a list.
type OwnerRule struct {
	// Match are patterns over file, module, function, type, message and service;
	// all must hold, those of frames for one frame.
	Match []exception.Matcher `json:"match"`
	Owner string              `json:"owner"` // a person or a team
}
