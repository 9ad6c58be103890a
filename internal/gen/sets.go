package gen

// dimensions are the fields of a JSON line that rollups group by, in the order
// of the sets of Sets.
var dimensions = []string{
	"service", "host", "env", "release", "level", "method",
	"url", "status", "city", "device", "os", "user_agent",
}

// paired is how many of the dimensions the pairs and triples of a hundred sets
// are made of: the first ten.
const paired = 10

// Dimensions returns the names of the 12 dimensions of a JSON line. They are
// correlated: a service determines its hosts, releases, URLs, methods and
// statuses, a client its city, device, system and user agent.
func Dimensions() []string { return append([]string(nil), dimensions...) }

// Sets returns n sets of the dimensions that benchmarks of rollups share.
//
//	100  the empty set, the 12 single ones, all 45 pairs of the first ten
//	     dimensions and 42 of their 120 triples, evenly spread over the
//	     lexicographic list
//	300  all sets of at most three of the 12 dimensions, and the first of four
//
// Fewer than 100 are evenly spread over the hundred, the empty one first; others
// are the first n of the 300.
func Sets(n int) [][]string {
	var out [][]string
	if n <= 100 {
		hundred := subsets(len(dimensions), 0)
		hundred = append(hundred, subsets(len(dimensions), 1)...)
		hundred = append(hundred, subsets(paired, 2)...)
		hundred = append(hundred, spread(subsets(paired, 3), 42)...)
		return spread(hundred, n)
	}
	for size := 0; len(out) < n && size <= len(dimensions); size++ {
		out = append(out, subsets(len(dimensions), size)...)
	}
	return out[:min(n, len(out))]
}

// spread returns n evenly spread elements of a list, the first among them.
func spread(list [][]string, n int) [][]string {
	out := make([][]string, n)
	for i := range out {
		out[i] = list[i*len(list)/n]
	}
	return out
}

// subsets returns the sets of size of the first n dimensions in lexicographic
// order.
func subsets(n, size int) [][]string {
	if size == 0 {
		return [][]string{{}}
	}
	var out [][]string
	var extend func(set []string, from int)
	extend = func(set []string, from int) {
		for i := from; i < n; i++ {
			grown := append(set[:len(set):len(set)], dimensions[i])
			if len(grown) == size {
				out = append(out, grown)
			} else {
				extend(grown, i+1)
			}
		}
	}
	extend(nil, 0)
	return out
}
