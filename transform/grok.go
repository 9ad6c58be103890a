package transform

func (c *compiler) define(defs []Definition) {}

func (c *compiler) grok(path, pattern string) textReader { return nil }
func (c *compiler) json(path string, j *JSON) textReader { return nil }
func (c *compiler) kv(path string, kv *KV) textReader    { return nil }
func (c *compiler) time(path string, t *Time) action     { return nil }

const defaultHashLength = 16

func (c *compiler) mask(path string, m *Mask, i int, seen map[string]string) compiledStep {
	return compiledStep{}
}

func (s *Scratch) timeOf(v value) (int64, bool) { return 0, false }
