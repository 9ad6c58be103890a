package pipeline

import (
	"math"
	"time"
)

// detailBudget bounds the bytes of exceptions' details that are stored of each period
// of arrival, so that a storm of many fingerprints fills no disk. Periods are those in
// which the log took the events: a worker that catches up has the budget of each.
type detailBudget struct {
	limit  int64           // of a period
	period int64           // ns
	used   map[int64]int64 // bytes by period
}

// budgetPeriod is the share of a minute that has its share of the budget. A burst that
// used the whole minute's would be written at once, in memory first.
const budgetPeriod = 5 * time.Second

func newDetailBudget(perMinute int64) detailBudget {
	return detailBudget{limit: perMinute / int64(time.Minute/budgetPeriod), period: int64(budgetPeriod)}
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

// budgetPeriods bounds the periods kept. A partition that lags those of the others by
// more uses up the oldest one of these.
const budgetPeriods = 512

// of returns the period that an arrival is charged to.
func (b *detailBudget) of(arrived int64) int64 {
	period := arrived / b.period
	if _, ok := b.used[period]; ok || len(b.used) < budgetPeriods {
		return period
	}
	return max(period, b.oldest())
}

func (b *detailBudget) oldest() int64 {
	oldest := int64(math.MaxInt64)
	for p := range b.used {
		oldest = min(oldest, p)
	}
	return oldest
}

func (b *detailBudget) level(arrived int64) budgetLevel {
	switch used := b.used[b.of(arrived)]; {
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
	period := b.of(arrived)
	if _, ok := b.used[period]; !ok && len(b.used) >= budgetPeriods {
		delete(b.used, b.oldest())
	}
	b.used[period] += bytes
}

// newest returns the newest period and what is used of it; zeros if there is none.
func (b *detailBudget) newest() (period, used int64) {
	for p := range b.used {
		period = max(period, p)
	}
	return period, b.used[period]
}
