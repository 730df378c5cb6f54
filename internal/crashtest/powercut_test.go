//go:build unix

package crashtest

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The traces here are what strace -f -y writes, but for -xx, which only
// escapes more.
const (
	whole = `7 openat(AT_FDCWD</r>, "new", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 5</r/new>
7 pwrite64(5</r/new>, "AAAA", 4, 0 <unfinished ...>
8 write(9<socket:[1]>, "220 hello", 9) = 9
7 <... pwrite64 resumed>) = 4
`
	fsync   = "7 fdatasync(5</r/new>) = 0\n"
	dirsync = `7 openat(AT_FDCWD</r>, "/r", O_RDONLY|O_CLOEXEC) = 6</r>
7 fsync(6</r>) = 0
`
	rename = `7 renameat(AT_FDCWD</r>, "new", AT_FDCWD</r>, "name") = 0
`
	answer = `8 write(9<socket:[1]>, "250 queued as 1", 15) = 15
`
)

// A process that syncs all before it answers is found good, and one that leaves
// out any of it is found out.
func TestPowerCuts(t *testing.T) {
	for name, c := range map[string]struct {
		trace string
		good  bool
	}{
		"all synced":                  {whole + fsync + rename + dirsync + answer, true},
		"renamed before it is synced": {whole + rename + strings.ReplaceAll(fsync, "/new", "/name") + dirsync + answer, true},
		"no sync":                     {whole + rename + dirsync + answer, false},
		"sync of a name too early":    {whole + dirsync + fsync + rename + answer, false},
		"no sync of the name":         {whole + fsync + rename + answer, false},
		"answer before the sync ends": {whole + rename + dirsync + strings.ReplaceAll(fsync, "new>) = 0", "name> <unfinished ...>") + answer + "7 <... fdatasync resumed>) = 0\n", false},
		"sync before the write ends":  {strings.Replace(whole, "8 write", "6 fdatasync(5</r/new>) = 0\n8 write", 1) + rename + dirsync + answer, false},
		"written after the sync":      {whole + fsync + rename + dirsync + `7 pwrite64(5</r/name>, "BBBB", 4, 0) = 4` + "\n" + answer, false},
		"another file is synced":      {whole + `7 openat(AT_FDCWD</r>, "other", O_RDWR|O_CREAT, 0600) = 4</r/other>` + "\n7 fsync(4</r/other>) = 0\n" + rename + dirsync + answer, false},
		"cut to nothing":              {whole + fsync + rename + dirsync + "7 ftruncate(5</r/name>, 0) = 0\n" + answer, false},
	} {
		t.Run(name, func(t *testing.T) {
			answers := 0
			err := imagesOf(t, c.trace, func(i Image) error {
				if len(i.Answered) == 0 {
					return nil
				}
				answers++
				b, err := os.ReadFile(filepath.Join(i.Dir, "name"))
				if err == nil && string(b) != "AAAA" {
					err = errors.New("damaged: " + string(b))
				}
				return err
			})
			if (err == nil) != c.good || answers == 0 {
				t.Errorf("%v, after %d images with an answer", err, answers)
			}
		})
	}
}

// Of what was not synced anything may be there: nothing, all, some sectors; and
// a name without its octets.
func TestPowerCutVariety(t *testing.T) {
	big := strings.Repeat("A", 2*sector)
	seen := map[string]bool{}
	err := imagesOf(t, strings.Replace(strings.Replace(whole, "AAAA", big, 1), "= 4\n", "= 1024\n", 1), func(i Image) error {
		b, err := os.ReadFile(filepath.Join(i.Dir, "new"))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			seen["no name"] = true
		case len(b) == 0:
			seen["no octets"] = true
		case len(b) == sector:
			seen["the first sector"] = true
		case string(b) == big:
			seen["all"] = true
		case string(b) == strings.Repeat("\x00", sector)+big[:sector]:
			seen["the second sector"] = true
		default:
			t.Errorf("%d octets %q", len(b), b)
		}
		return nil
	})
	if err != nil || len(seen) != 5 {
		t.Errorf("%v, %v", seen, err)
	}
}

// What the model does not know is an error, not a guess.
func TestPowerCutUnknown(t *testing.T) {
	for _, line := range []string{
		`7 copy_file_range(3</x>, NULL, 5</r/new>, NULL, 10, 0) = 10`,
		`7 pwrite64(5</r/old>, "A", 1, 0) = 1`,
		`7 openat(AT_FDCWD</r>, "old", O_RDWR) = 5</r/old>`,
		`7 writev(5</r/new>, [{iov_base="A", iov_len=1}], 1) = 1`,
	} {
		if err := imagesOf(t, whole+line+"\n", func(Image) error { return nil }); err == nil {
			t.Errorf("%s was taken", line)
		}
	}
}

func imagesOf(t *testing.T, trace string, check func(Image) error) error {
	t.Helper()
	calls, err := ReadTrace(strings.NewReader(trace))
	if err != nil {
		t.Fatal(err)
	}
	return Images(calls, Cuts{Root: "/r", Answer: regexp.MustCompile(`250 queued as (\w+)`), Number: 300, Random: rand.New(rand.NewPCG(1, 1))}, check)
}
