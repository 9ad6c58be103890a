package transform

// jsonReader takes fields from a JSON object within the text.
type jsonReader struct {
	all    bool
	prefix string
	fields []jsonField
}

type jsonField struct {
	field field
	path  []string
}

func (r *jsonReader) read(s *Scratch, x *extractor, t string) outcome { return unmatched }

func scanJSON(s string) int          { return len(s) }
func scanNumber(s string, i int) int { return len(s) }
