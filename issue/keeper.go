package issue

import "context"

// Run ends ignores that reached their time, occurrences or users, every
// Options.Interval, on one node at a time (the lock "issues"), until ctx ends.
func (s *Service) Run(ctx context.Context) {}
