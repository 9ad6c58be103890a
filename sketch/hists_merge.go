package sketch

// Merge adds all of a row of from, which may be c itself, to a row.
func (c *Hists) Merge(row int, from *Hists, fromRow int) {
	src := &from.rows[fromRow]
	if src.kind == kindLog {
		var scratch [maxLog]Bucket
		c.AddRun(row, scratch[:copy(scratch[:], from.log(src))], nil)
		return
	}
	o, dst := from.hist(fromRow), &c.rows[row]
	if c == from && row == fromRow {
		o.block = block{buf: append([]byte(nil), o.buf...)}
	}
	if dst.kind != kindLog {
		h := c.hist(row)
		h.Merge(&o)
		c.put(row, &h)
		return
	}
	var scratch [maxLog]Bucket
	log := scratch[:copy(scratch[:], c.log(dst))]
	c.dropLog(dst)
	h := Hist{block: block{in: &c.mem}, zeros: o.zeros, base: o.base, width: o.width}
	h.block = h.take(len(o.buf))
	copy(h.buf, o.buf)
	c.put(row, &h)
	if len(log) > 0 {
		c.AddRun(row, log, nil)
	}
}

// MergeRows adds all of some rows of another column to a row, as Merge does one
// by one. It is the hot path of deriving a set of dimensions from another: the
// rows are those that become one.
func (c *Hists) MergeRows(row int, from *Hists, rows []uint32) {
	dst := &c.rows[row]
	values, kinds, class := int(dst.n), dst.kind, dst.class
	for _, i := range rows {
		src := &from.rows[i]
		values += int(src.n)
		kinds |= src.kind
		class |= src.class
	}
	if kinds == kindLog && class == 0 && values <= inlineLog {
		n, log := int(dst.n), bucketsOf(dst.x[:])
		for _, i := range rows {
			src := &from.rows[i]
			for _, b := range bucketsOf(src.x[:2*src.n]) {
				log[n] = b
				n++
			}
		}
		dst.n = uint16(n)
		return
	}
	if kinds != kindLog {
		// These first, so that most logs are only counted.
		for _, i := range rows {
			if from.rows[i].kind != kindLog {
				c.Merge(row, from, int(i))
			}
		}
	}
	// Logs are added together, so that they are moved and measured once.
	var scratch [maxLog]Bucket
	n := 0
	for _, i := range rows {
		src := &from.rows[i]
		if src.kind != kindLog {
			continue
		}
		if n+int(src.n) > maxLog {
			c.AddRun(row, scratch[:n], nil)
			n = 0
		}
		n += copy(scratch[n:], from.log(src))
	}
	if n > 0 {
		c.AddRun(row, scratch[:n], nil)
	}
}
