package meta

import "time"

// started is when the process was. Ages are told by the monotonic clock from
// here: what a database is asked for at a time is told by its own.
var started = time.Now()

func clock() time.Time { return started.Add(time.Since(started)) }
