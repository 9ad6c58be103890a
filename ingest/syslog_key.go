package ingest

import "bytes"

// keyElement begins the element of structured data that carries a key; RFC 5424,
// 6.3.2, wants a number behind the @ of names that are not registered.
var keyElement = []byte("[millrace@")

// takeKey removes the elements [millrace@N key="…"] from the structured data of
// a message of RFC 5424 and returns the first one's key. text is overwritten if
// it has any. A message that is not of RFC 5424 has none. An element that does not
// end, with all that follows, is the message's text.
func takeKey(text []byte) (key string, rest []byte) {
	if !bytes.Contains(text, keyElement) {
		return "", text
	}
	at := structuredAt(text)
	if at < 0 {
		return "", text
	}
	to, i, found := at, at, false
	for i < len(text) && text[i] == '[' {
		end := elementEnd(text, i)
		if end < 0 {
			break // a key that was found must not stay in the text
		}
		if bytes.HasPrefix(text[i:], keyElement) {
			if !found {
				key, found = keyOf(text[i:end]), true
			}
		} else {
			if !found {
				to = end // in its place already
			} else {
				to += copy(text[to:], text[i:end])
			}
		}
		i = end
	}
	if !found {
		return "", text
	}
	if to == at {
		text[to] = '-'
		to++
	}
	to += copy(text[to:], text[i:])
	return key, text[:to]
}

// structuredAt returns where structured data begins in "<PRI>VERSION TIME HOST
// APP PROCID MSGID SD", -1 if it is not that.
func structuredAt(b []byte) int {
	if len(b) == 0 || b[0] != '<' {
		return -1
	}
	end := bytes.IndexByte(b[:min(5, len(b))], '>')
	if end < 0 || end+1 >= len(b) || b[end+1] < '1' || b[end+1] > '9' {
		return -1
	}
	i := end + 1
	for range 6 {
		n := bytes.IndexByte(b[i:], ' ')
		if n < 0 {
			return -1
		}
		i += n + 1
	}
	return i
}

// elementEnd returns the end of the element that begins at i, -1 if it has none.
func elementEnd(b []byte, i int) int {
	quoted := false
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ']' && !quoted:
			return i + 1
		}
	}
	return -1
}

// keyOf returns the parameter key of an element; keys have nothing to escape.
func keyOf(element []byte) string {
	_, value, ok := bytes.Cut(element, []byte(` key="`))
	if !ok {
		return ""
	}
	value, _, _ = bytes.Cut(value, []byte{'"'})
	return string(value)
}
