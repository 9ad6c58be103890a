package pipeline

import "math"

// detailBudget bounds the bytes of exceptions' details that are stored of each minute
// of arrival, so that a storm of many fingerprints fills no disk. Minutes are those in
// which the log took the events: a worker that catches up has the budget of each.
type detailBudget struct {
	limit int64
	used  map[int64]int64 // bytes by minute
}

// budgetLevel is how much of the budget is left.
type budgetLevel uint8

const (
	budgetFree    budgetLevel = iota // all details are kept
	budgetThrifty                    // from 1/2 on: of the newest not more often than every newestEvery
	budgetTight                      // from 3/4 on: of the oldest and of the newest only
	budgetLast                       // from 7/8 on: of one event of a fingerprint and minute
	budgetSpent                      // none
)

// budgetMinutes bounds the minutes kept. A partition that lags those of the others by
// more uses up the oldest one of these.
const budgetMinutes = 128

// minute returns the minute that an arrival is charged to.
func (b *detailBudget) minute(arrived int64) int64 {
	minute := arrived / 60e9
	if _, ok := b.used[minute]; ok || len(b.used) < budgetMinutes {
		return minute
	}
	return max(minute, b.oldest())
}

func (b *detailBudget) oldest() int64 {
	oldest := int64(math.MaxInt64)
	for m := range b.used {
		oldest = min(oldest, m)
	}
	return oldest
}

func (b *detailBudget) level(arrived int64) budgetLevel {
	switch used := b.used[b.minute(arrived)]; {
	case used < b.limit/2:
		return budgetFree
	case used < b.limit/4*3:
		return budgetThrifty
	case used < b.limit/8*7:
		return budgetTight
	case used < b.limit:
		return budgetLast
	}
	return budgetSpent
}

// add charges bytes, or gives them back if they are negative.
func (b *detailBudget) add(arrived, bytes int64) {
	if b.used == nil {
		b.used = map[int64]int64{}
	}
	minute := b.minute(arrived)
	if _, ok := b.used[minute]; !ok && len(b.used) >= budgetMinutes {
		delete(b.used, b.oldest())
	}
	b.used[minute] += bytes
}

// newest returns the newest minute and what is used of it; zeros if there is none.
func (b *detailBudget) newest() (minute, used int64) {
	for m := range b.used {
		minute = max(minute, m)
	}
	return minute, b.used[minute]
}
