package queue

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// This file is the one place that knows the embedded broker's files. In its
// directory there are meta.json, topics.json and, for each partition,
// partitions/TOPIC-N with
//
//	BASE.dat       Kafka record batches, concatenated; BASE is the first offset
//	BASE.idx       15 bytes per batch; lost ones do not matter to us
//	snapshot.json  written at a clean stop: offsets and segment sizes
//
// The last .dat is appended to; when it has reached segment.bytes, the next
// batch opens a new one.

// segment is one segment file.
type segment struct {
	base     int64
	size     int64
	modified time.Time
}

func segmentName(base int64) string { return strconv.FormatInt(base, 10) + ".dat" }

func partitionDir(broker, topic string, partition int32) string {
	return filepath.Join(broker, "partitions", url.PathEscape(topic)+"-"+strconv.Itoa(int(partition)))
}

// listBases returns the first offsets of a partition's segments, ascending; a
// directory that does not exist has none.
func listBases(dir string) ([]int64, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var bases []int64
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".dat"); ok {
			if base, err := strconv.ParseInt(name, 10, 64); err == nil {
				bases = append(bases, base)
			}
		}
	}
	slices.Sort(bases)
	return bases, nil
}

// listSegments is listBases with sizes. A file that vanishes meanwhile, by
// retention, is left out.
func listSegments(dir string) ([]segment, error) {
	bases, err := listBases(dir)
	if err != nil {
		return nil, err
	}
	segs := make([]segment, 0, len(bases))
	for _, base := range bases {
		st, err := os.Stat(filepath.Join(dir, segmentName(base)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		segs = append(segs, segment{base, st.Size(), st.ModTime()})
	}
	return segs, nil
}

// topicsFile and snapshotFile are the parts of the broker's files used here.
type topicsFile struct {
	Topics []struct {
		Name       string `json:"name"`
		Partitions int32  `json:"partitions"`
	} `json:"topics"`
}

type snapshotFile struct {
	Version          int               `json:"version"`
	HighWatermark    int64             `json:"high_watermark"`
	LastStableOffset int64             `json:"last_stable_offset"`
	LogStartOffset   int64             `json:"log_start_offset"`
	Epoch            int32             `json:"epoch"`
	CreatedAt        time.Time         `json:"created_at"`
	Segments         []snapshotSegment `json:"segments"`
}

type snapshotSegment struct {
	BaseOffset int64 `json:"base_offset"`
	Size       int64 `json:"size"`
}

// prepare makes the broker's directory fit to be opened after any kind of
// stop. It
//
//   - moves the partitions of a topic that the broker no longer knows out of
//     the way, since it would append to them;
//   - cuts a torn or damaged end off the newest segment: the broker does so
//     too, but if a snapshot exists it goes on counting the bytes cut off and
//     reads later batches from wrong places;
//   - writes a snapshot where there is none that fits. Without one the broker
//     keeps all batches of all partitions in memory while it opens.
func prepare(broker, topic string, now time.Time, log *slog.Logger) error {
	if _, err := os.Stat(broker); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	partitions, err := knownPartitions(broker, topic)
	if err != nil {
		return err
	}
	if partitions == 0 {
		return moveOrphans(broker, topic, log)
	}
	for p := range partitions {
		dir := partitionDir(broker, topic, p)
		segs, err := trimEnd(dir, log)
		if err == nil && len(segs) > 0 {
			err = ensureSnapshot(dir, segs, now)
		}
		if err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}

// knownPartitions is how many partitions of the topic the broker will load; 0
// if it does not know it.
func knownPartitions(broker, topic string) (int32, error) {
	var meta struct{}
	if found, err := readJSON(filepath.Join(broker, "meta.json"), &meta); err != nil || !found {
		return 0, err // without it the broker starts afresh
	}
	var topics topicsFile
	if _, err := readJSON(filepath.Join(broker, "topics.json"), &topics); err != nil {
		return 0, err
	}
	for _, t := range topics.Topics {
		if t.Name == topic {
			return t.Partitions, nil
		}
	}
	return 0, nil
}

func readJSON(path string, v any) (bool, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, &millrace.Error{
			Code: millrace.ErrCorrupt, Op: "read " + path, Err: err,
			Message: "the queue's file " + path + " is damaged",
			Hint:    "restore it from a backup, or move the queue's directory away to start an empty queue",
		}
	}
	return true, nil
}

// moveOrphans renames partition directories without a topic to NAME.lost-N.
func moveOrphans(broker, topic string, log *slog.Logger) error {
	dirs, err := filepath.Glob(filepath.Join(broker, "partitions", url.PathEscape(topic)+"-*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if strings.Contains(filepath.Base(dir), ".lost-") {
			continue
		}
		for n := 0; ; n++ {
			to := dir + ".lost-" + strconv.Itoa(n)
			if _, err := os.Lstat(to); err == nil {
				continue
			}
			if err := os.Rename(dir, to); err != nil {
				return err
			}
			log.Warn("queue: moved the files of a topic that the broker does not know", "to", to)
			break
		}
	}
	return nil
}

// trimEnd cuts the newest segment after its last whole batch, removes it if
// nothing is left, and syncs it: a killed process may have written batches
// that nobody synced, and consumers will see them. It returns what remains.
func trimEnd(dir string, log *slog.Logger) ([]segment, error) {
	segs, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	for len(segs) > 0 {
		last := &segs[len(segs)-1]
		path := filepath.Join(dir, segmentName(last.base))
		keep, err := trimFile(path, last.base, log)
		if err != nil {
			return nil, err
		}
		if last.size = keep; keep > 0 {
			break
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		segs = segs[:len(segs)-1]
	}
	return segs, nil
}

// trimFile cuts one segment file and returns its size.
func trimFile(path string, base int64, log *slog.Logger) (int64, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	keep := wholeBatches(b, base)
	if cut := int64(len(b)) - keep; cut > 0 {
		log.Warn("queue: cut a damaged end off a segment", "file", path, "kept_bytes", keep, "cut_bytes", cut)
		if err := f.Truncate(keep); err != nil {
			return 0, err
		}
	}
	return keep, f.Sync()
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// wholeBatches returns the length of the longest prefix that consists of whole
// record batches (format 2) with right checksums and gapless offsets from base
// on. Offsets are outside of the checksum, and a flipped bit in one would move
// the end of the log out of reach.
func wholeBatches(b []byte, base int64) int64 {
	const header = 61 // of a batch, from its base offset to its record count
	pos, next := 0, base
	for len(b)-pos >= header {
		p := b[pos:]
		size := 12 + int64(int32(binary.BigEndian.Uint32(p[8:])))
		if size < header || size > int64(len(p)) || p[16] != 2 {
			break
		}
		first := int64(binary.BigEndian.Uint64(p))
		if first != next || crc32.Checksum(p[21:size], castagnoli) != binary.BigEndian.Uint32(p[17:]) {
			break
		}
		next = first + int64(binary.BigEndian.Uint32(p[23:])) + 1
		pos += int(size)
	}
	return int64(pos)
}

// ensureSnapshot writes a snapshot unless the one there fits. Offsets above
// the log's end are what the broker lowers to the end it finds.
func ensureSnapshot(dir string, segs []segment, now time.Time) error {
	path := filepath.Join(dir, "snapshot.json")
	want := make([]snapshotSegment, len(segs))
	for i, s := range segs {
		want[i] = snapshotSegment{s.base, s.size}
	}
	var old snapshotFile
	found, err := readJSON(path, &old)
	if err != nil && millrace.ErrorCode(err) != millrace.ErrCorrupt {
		return err
	}
	if err == nil && found && old.Version == 1 && slices.Equal(old.Segments, want) {
		return nil
	}
	return writeJSON(path, snapshotFile{
		Version:       1,
		HighWatermark: math.MaxInt64, LastStableOffset: math.MaxInt64,
		LogStartOffset: segs[0].base,
		Epoch:          old.Epoch, CreatedAt: now.UTC(), Segments: want,
	})
}

// writeJSON replaces a file in one step, synced.
func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
