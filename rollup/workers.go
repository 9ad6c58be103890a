package rollup

import (
	"sync"
	"sync/atomic"
)

// workers is the goroutines that update cells. Work is shared out by table, so
// that no state is held twice and nothing has to be merged. The caller's
// goroutine is one of them; the others live as long as a call.
type workers struct {
	all []*worker
}

func newWorkers(n int) *workers {
	w := &workers{}
	for range max(1, n) {
		w.all = append(w.all, &worker{})
	}
	return w
}

// each calls f(w, i) for every i below n, in order as far as one goroutine is
// concerned. few keeps it in the caller's goroutine: to start others takes longer
// than little work. A panic of f is raised in the caller's goroutine.
func (ws *workers) each(n int, few bool, f func(w *worker, i int)) {
	var next atomic.Int64
	ws.run(min(n, len(ws.all)), few, func(w *worker) {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(w, i)
		}
	})
}

// run calls f in as many goroutines as told, with a worker each.
func (ws *workers) run(n int, few bool, f func(w *worker)) {
	if few || n <= 1 {
		f(ws.all[0])
		return
	}
	var group sync.WaitGroup
	panics := make(chan any, n) // as many as there can be
	guarded := func(w *worker) {
		defer func() {
			if p := recover(); p != nil {
				panics <- p
			}
		}()
		f(w)
	}
	for _, w := range ws.all[1:n] {
		group.Go(func() { guarded(w) })
	}
	guarded(ws.all[0])
	group.Wait()
	select {
	case p := <-panics:
		panic(p)
	default:
	}
}

// bytes returns how much memory the workers hold.
func (ws *workers) bytes() int {
	n := 0
	for _, w := range ws.all {
		n += w.bytes()
	}
	return n
}
