package persist

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// folderOf opens a folder until the test's end.
func folderOf(t testing.TB, path string, keep int64) (*folder, *tally) {
	t.Helper()
	count := &tally{}
	f, err := openFolder(path, count, keep, silent())
	if err != nil || f == nil {
		t.Fatalf("folder %v, %v", f, err)
	}
	t.Cleanup(func() { f.lock.Close() })
	return f, count
}

// put appends rows from one number to before another.
func put(t interface{ Fatal(...any) }, f *folder, from, to int, full int64) {
	var records []*Record
	var frames []byte
	var ends []int64
	for n := from; n < to; n++ {
		var err error
		if frames, err = appendFrame(frames, row(n)); err != nil {
			t.Fatal(err)
		}
		records, ends = append(records, row(n)), append(ends, int64(len(frames)))
	}
	if err := f.append(records, frames, ends, full); err != nil {
		t.Fatal(err)
	}
}

// drain reads all rows and passes them by.
func drain(t interface{ Fatal(...any) }, f *folder, rows int) (ids []string, lost int) {
	for {
		b, err := f.read(rows)
		if err != nil {
			t.Fatal(err)
		}
		if b.rows == 0 {
			return ids, lost
		}
		for _, r := range b.records {
			ids = append(ids, r.ID)
		}
		lost += b.lost
		f.done(b)
	}
}

// crash lets go of a folder as the end of a process does.
func crash(f *folder) {
	if f.out != nil {
		f.out.Close()
	}
	f.lock.Close()
}

func files(t testing.TB, path, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(path, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A folder behaves as a list, whatever comes in between: rows come out in the
// order they went in, none is missing, and after a crash all come again that
// were not passed by, and perhaps some of the last segment that were.
func TestFolderIsAListThatOutlivesCrashes(t *testing.T) {
	size := int64(len(mustFrame(t, row(1))))
	rapid.Check(t, func(rt *rapid.T) {
		path := filepath.Join(t.TempDir(), "0")
		keep := size * int64(rapid.IntRange(0, 6).Draw(rt, "rows kept in memory"))
		full := size * int64(rapid.IntRange(1, 5).Draw(rt, "rows of a segment"))
		count := &tally{}
		f, err := openFolder(path, count, keep, silent())
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { crash(f) }()
		next, first := 0, 0 // row to append, row to come out
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				n := rapid.IntRange(1, 7).Draw(rt, "rows")
				put(rt, f, next, next+n, full)
				next += n
			},
			"ship": func(rt *rapid.T) {
				b, err := f.read(rapid.IntRange(1, 5).Draw(rt, "rows"))
				if err != nil {
					rt.Fatal(err)
				}
				if (b.rows == 0) != (next == first) {
					rt.Fatalf("%d rows of %d", b.rows, next-first)
				}
				late := rapid.IntRange(0, 8).Draw(rt, "appended meanwhile")
				if late > 0 {
					put(rt, f, next, next+late, full)
					next += late
				}
				for _, r := range b.records {
					if r.ID != row(first).ID {
						rt.Fatalf("%s came out, want row %d", r.ID, first)
					}
					first++
				}
				if b.rows > 0 {
					f.done(b)
				}
			},
			"crash": func(rt *rapid.T) {
				crash(f)
				*count = tally{}
				if f, err = openFolder(path, count, keep, silent()); err != nil {
					rt.Fatal(err)
				}
				again := f.rows() - (next - first)
				if again < 0 || again > first {
					rt.Fatalf("%d rows after a crash, %d were to come", f.rows(), next-first)
				}
				first -= again
			},
			"": func(rt *rapid.T) {
				if f.rows() != next-first || count.rows.Load() != int64(next-first) {
					rt.Fatalf("%d rows, %d counted, want %d", f.rows(), count.rows.Load(), next-first)
				}
				var on int64
				for _, p := range files(t, path, "*.seg") {
					info, err := os.Stat(p)
					if err != nil {
						rt.Fatal(err)
					}
					on += info.Size()
				}
				if on != count.bytes.Load() {
					rt.Fatalf("%d bytes on disk, %d counted", on, count.bytes.Load())
				}
				if next == first && f.out != nil && on != 0 {
					rt.Fatalf("%d bytes on disk although everything was shipped", on)
				}
			},
		})
	})
}

func mustFrame(t testing.TB, r *Record) []byte {
	t.Helper()
	b, err := appendFrame(nil, r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestShippedRowsComeFromMemoryWithoutABacklog(t *testing.T) {
	path := t.TempDir()
	f, _ := folderOf(t, path, 1<<20)
	put(t, f, 0, 5, 1<<20)
	for _, p := range files(t, path, "*.seg") { // what is not there cannot be read back
		if err := os.Remove(p); err != nil {
			t.Fatal(err)
		}
	}
	got, lost := drain(t, f, 2)
	if d := cmp.Diff(ids(0, 5), got); d != "" || lost != 0 {
		t.Errorf("%d lost, %s", lost, d)
	}
	crash(f)
}

func TestDamageCostsTheDamagedRowsOnly(t *testing.T) {
	frame := int64(len(mustFrame(t, row(1))))
	for _, c := range []struct {
		name   string
		damage func(b []byte) []byte
		want   []string
		lost   int
		bad    int64 // bytes set aside
	}{
		{"flipped bit", func(b []byte) []byte { b[frame+100] ^= 4; return b }, append(ids(0, 1), ids(2, 4)...), 1, frame},
		{"torn last row", func(b []byte) []byte { return b[:4*frame-3] }, ids(0, 3), 0, frame - 3},
		{"torn head", func(b []byte) []byte { return b[:3*frame+5] }, ids(0, 3), 0, 5},
		{"tail of zeros", func(b []byte) []byte { clear(b[2*frame:]); return b }, ids(0, 2), 0, 2 * frame},
		{"length beyond the file", func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[2*frame:], 1<<31)
			return b
		}, ids(0, 2), 0, 2 * frame},
		{"nothing left", func([]byte) []byte { return nil }, nil, 0, 0},
		{"unknown version", func(b []byte) []byte {
			copy(b[frame:2*frame], reframed(t, b[frame:2*frame], func(payload []byte) { payload[0] = 99 }))
			return b
		}, append(ids(0, 1), ids(2, 4)...), 1, frame},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := t.TempDir()
			f, _ := folderOf(t, path, 0)
			put(t, f, 0, 4, 1<<20)
			crash(f)
			segment := files(t, path, "*.seg")[0]
			whole, err := os.ReadFile(segment)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(segment, c.damage(whole), 0o600); err != nil {
				t.Fatal(err)
			}

			f, count := folderOf(t, path, 0)
			put(t, f, 4, 6, 1<<20)
			got, lost := drain(t, f, 3)
			if d := cmp.Diff(append(c.want, ids(4, 6)...), got); d != "" || lost != c.lost {
				t.Errorf("%d lost, want %d; %s", lost, c.lost, d)
			}
			var bad int64
			for _, p := range files(t, path, "*.bad") {
				info, err := os.Stat(p)
				if err != nil {
					t.Fatal(err)
				}
				bad += info.Size()
			}
			if bad != c.bad {
				t.Errorf("%d bytes set aside, want %d", bad, c.bad)
			}
			if count.rows.Load() != 0 || count.bytes.Load() != 0 {
				t.Errorf("%d rows, %d bytes are counted in an empty spool", count.rows.Load(), count.bytes.Load())
			}
			crash(f)
		})
	}
}

// reframed returns a frame whose payload was changed and whose checksum fits.
func reframed(t *testing.T, frame []byte, change func([]byte)) []byte {
	t.Helper()
	payload := bytes.Clone(frame[frameHead:])
	change(payload)
	out := bytes.Clone(frame)
	copy(out[frameHead:], payload)
	binary.LittleEndian.PutUint32(out[4:], checksum(payload))
	return out
}

func TestDamageWithinARunDoesNotTouchRowsInMemory(t *testing.T) {
	path := t.TempDir()
	frame := int64(len(mustFrame(t, row(1))))
	f, _ := folderOf(t, path, 3*frame)
	put(t, f, 0, 4, 1<<20) // too much to keep in memory
	put(t, f, 4, 6, 1<<20) // kept
	file, err := os.OpenFile(files(t, path, "*.seg")[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte{0, 0, 0, 0}, 2*frame); err != nil {
		t.Fatal(err)
	}
	b, err := f.read(10)
	if err != nil || b.lost != 2 || b.rows != 4 {
		t.Fatalf("%d rows, %d of them lost, %v; want 4 and 2", b.rows, b.lost, err)
	}
	f.done(b)
	put(t, f, 6, 16, 1<<20) // they go from memory too
	got, lost := drain(t, f, 4)
	if d := cmp.Diff(ids(4, 16), got); d != "" || lost != 0 {
		t.Errorf("afterwards %d lost; %s", lost, d)
	}
	crash(f)
}

func TestSegmentThatIsGoneIsLostAndCounted(t *testing.T) {
	path := t.TempDir()
	f, _ := folderOf(t, path, 0)
	put(t, f, 0, 3, 1)
	put(t, f, 3, 5, 1)
	if err := os.Remove(files(t, path, "*.seg")[0]); err != nil {
		t.Fatal(err)
	}
	got, lost := drain(t, f, 10)
	if d := cmp.Diff(ids(3, 5), got); d != "" || lost != 3 {
		t.Errorf("%d lost, want 3; %s", lost, d)
	}
	crash(f)
}

func TestLargeRowsAreReadOneByOne(t *testing.T) {
	path := t.TempDir()
	f, _ := folderOf(t, path, 0)
	big := row(0)
	big.Prompt = []byte(`"` + strings.Repeat("x", batchBytes+10) + `"`)
	frame := mustFrame(t, big)
	if err := f.append([]*Record{big}, frame, []int64{int64(len(frame))}, 1<<30); err != nil {
		t.Fatal(err)
	}
	put(t, f, 1, 3, 1<<30)
	b, err := f.read(10)
	if err != nil || b.rows != 1 || !bytes.Equal(b.records[0].Prompt, big.Prompt) {
		t.Fatalf("%d rows, %v", b.rows, err)
	}
	f.done(b)
	if got, _ := drain(t, f, 10); len(got) != 2 {
		t.Errorf("then %d rows, want 2", len(got))
	}
	crash(f)
}

func TestWhatIsSetAsideIsBounded(t *testing.T) {
	path := t.TempDir()
	full, err := os.Create(filepath.Join(path, "full.bad"))
	if err != nil {
		t.Fatal(err)
	}
	if err := full.Truncate(badBytes); err != nil { // a hole: it takes no space
		t.Fatal(err)
	}
	full.Close()
	s := &segment{path: filepath.Join(path, "0.seg")}
	s.setAside(bytes.NewReader([]byte("damaged")), 0, 7)
	if got := files(t, path, "*.bad"); len(got) != 1 {
		t.Errorf("%d files set aside, want the one that was there", len(got))
	}
}

func TestFolderHasOneHolder(t *testing.T) {
	path := t.TempDir()
	f, _ := folderOf(t, path, 0)
	if second, err := openFolder(path, &tally{}, 0, silent()); second != nil || err != nil {
		t.Fatalf("taken twice: %v, %v", second, err)
	}
	f.close()
	if third, err := openFolder(path, &tally{}, 0, silent()); third == nil || err != nil {
		t.Fatalf("not given back: %v", err)
	} else {
		third.close()
	}
}

func TestFolderAndSegmentsAreForTheOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spool", "0")
	f, _ := folderOf(t, path, 0)
	put(t, f, 0, 1, 1)
	for p, want := range map[string]os.FileMode{path: 0o700, files(t, path, "*.seg")[0]: 0o600} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", p, info.Mode(), err, want)
		}
	}
	crash(f)
}

func FuzzSegment(f *testing.F) {
	frame := mustFrame(f, row(1))
	f.Add(frame, uint8(3))
	f.Add(append(bytes.Clone(frame), frame[:20]...), uint8(1))
	f.Add(append(make([]byte, 8), frame...), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, rows uint8) {
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, "0000000000000007.seg"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, count := folderOf(t, path, 0)
		want := f.rows()
		got, lost := drain(t, f, int(rows)+1)
		if len(got)+lost != want || count.rows.Load() != 0 || count.bytes.Load() != 0 {
			t.Errorf("%d rows and %d lost of %d; left: %d rows, %d bytes", len(got), lost, want, count.rows.Load(), count.bytes.Load())
		}
	})
}
