package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/millrace/millrace"
)

// numbersAndTexts fills two columns: the row number, and it as a text that is
// inline for small numbers, in memory of its own for others, and NULL for every
// seventh.
func numbersAndTexts(t *columns, from, k int) {
	numbers, mask := unsafe.Slice((*int64)(t.data(0)), chunkRows), t.mask(1)
	texts := make([]string, k)
	for i := range k {
		numbers[i], texts[i] = int64(from+i), textOf(from+i)
	}
	t.strings(1, texts)
	for i := range k {
		if (from+i)%7 == 0 {
			mask.null(i)
		}
	}
}

func textOf(i int) string { return strings.Repeat(fmt.Sprint(i), i%5) }

func TestFeedKeepsRowsInOrder(t *testing.T) {
	db := openTest(t)
	for _, n := range []int{0, 1, chunkRows - 1, chunkRows, chunkRows + 1, 3*chunkRows + 17} {
		table := fmt.Sprintf("fed %d", n)
		err := db.write(t.Context(), "test", func(w *writer) error {
			if _, err := w.exec("CREATE TABLE " + ident(table) + " (i BIGINT NOT NULL, s VARCHAR)"); err != nil {
				return err
			}
			return w.feed(table, n, numbersAndTexts)
		})
		if err != nil {
			t.Fatal(n, err)
		}
		err = db.read(t.Context(), "test", func(c *conn) error {
			r, err := c.query(t.Context(), "SELECT i, s FROM "+ident(table)+" ORDER BY rowid")
			if err != nil {
				return err
			}
			defer r.close()
			for i := range n {
				if !r.next() || r.int64(0) != int64(i) || r.isNull(1) != (i%7 == 0) || i%7 != 0 && r.str(1) != textOf(i) {
					return fmt.Errorf("row %d of %d: %d %q, %w", i, n, r.int64(0), r.str(1), r.err)
				}
			}
			if r.next() {
				return fmt.Errorf("more than %d rows", n)
			}
			return r.err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What goes wrong in a feed undoes the whole transaction, and the next one works.
func TestFeedFails(t *testing.T) {
	db := openTest(t)
	if err := db.write(t.Context(), "test", func(w *writer) error {
		_, err := w.exec("CREATE TABLE fed (i BIGINT NOT NULL, s VARCHAR NOT NULL)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	short := func(t *columns, from, k int) { // valid up to row 5000
		t.sameInt64(0, k, 1)
		t.sameString(1, k, "x")
		if from > 4000 {
			t.mask(1).null(k - 1)
		}
	}
	for name, c := range map[string]struct {
		ctx  context.Context
		fill func(t *columns, from, k int)
		want string
	}{
		"panic":    {t.Context(), func(t *columns, from, k int) { panic("a bug of ours") }, "BUG: feed: a bug of ours"},
		"NOT NULL": {t.Context(), short, "NOT NULL constraint failed"},
		"cancelled": {ctx, func(t *columns, from, k int) {
			cancel()
			short(t, 0, k)
		}, "Interrupted"},
	} {
		err := db.write(c.ctx, "test", func(w *writer) error {
			if _, err := w.exec("INSERT INTO fed VALUES (1, 'before')"); err != nil {
				return err
			}
			return w.feed("fed", 1_000_000, c.fill)
		})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := db.write(t.Context(), "test", func(w *writer) error { return w.feed("absent", 1, short) })
	if err == nil || !strings.Contains(err.Error(), "absent") {
		t.Error("absent table:", err)
	}
	err = db.write(t.Context(), "test", func(w *writer) error { return w.feed("fed", 3, short) })
	if err != nil {
		t.Fatal("after the failures:", err)
	}
	err = db.read(t.Context(), "test", func(c *conn) error {
		n, err := oneInt(t.Context(), c, "SELECT count(*) FROM fed")
		if err == nil && n != 3 {
			err = fmt.Errorf("%d rows instead of 3", n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// The function behind feeds is none of the users' and without a feed does
// nothing, whatever number it is called with.
func TestFeedFunctionIsOurs(t *testing.T) {
	db := openTest(t)
	for _, call := range []string{"SELECT * FROM millrace_feed(1)", "SELECT millrace_feed(1)"} {
		var e *millrace.Error
		if _, err := db.SQL(t.Context(), call, testLimits); !errors.As(err, &e) || e.Code != millrace.ErrInvalid {
			t.Errorf("%s: %v", call, err)
		}
	}
	err := db.read(t.Context(), "test", func(c *conn) error {
		_, err := c.exec(t.Context(), "SELECT * FROM millrace_feed(9223372036854775807)")
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "BUG: feed") {
		t.Error("no such feed:", err)
	}
}
