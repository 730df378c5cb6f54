package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"backstamp/config"
)

// clockSlack is by how much the clock may seem to be behind a file: some
// filesystems have clocks of their own.
const clockSlack = time.Minute

// examineClock compares the clock with the latest time that something here says
// has passed. It cannot tell a clock that is ahead.
func (p *program) examineClock(dir string) symptom {
	now := p.clock.Now()
	f := symptom{check: "clock", subject: now.UTC().Format(time.RFC3339), state: fine}
	what, at := latest(dir)
	switch {
	case what == "":
		f.text = "there is nothing here to compare it with"
	case now.Add(clockSlack).Before(at):
		f.text = fmt.Sprintf("earlier than %s, %s", what, at.UTC().Format(time.RFC3339))
		return f.because(bad, "clock")
	default:
		f.text = fmt.Sprintf("not earlier than %s, %s", what, at.UTC().Format(time.RFC3339))
	}
	return f
}

// latest returns the last of the times at which this program was committed and
// the files in dir were written; what is "" where there is none.
func latest(dir string) (what string, at time.Time) {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if t, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				what, at = "the commit this program was built from", t
			}
		}
	}
	entries, _ := os.ReadDir(dir) // one that cannot be read is told as such elsewhere
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().After(at) {
			what, at = "the last change of "+e.Name()+" in data_dir", info.ModTime()
		}
	}
	return what, at
}

// lowRoom is how many times the reserve is little room.
const lowRoom = 4

// examineDisk compares what is free with the reserve.
func examineDisk(dir string, space func(dir string) (free, total uint64, err error)) symptom {
	f := symptom{check: "disk", subject: dir, state: fine}
	free, total, err := space(existing(dir))
	if err != nil {
		f.text = fmt.Sprintf("what is free cannot be told: %v", err)
		return f
	}
	kept := reserve(total)
	f.text = fmt.Sprintf("%d MiB of %d MiB are free; below %d MiB no mail is taken", free>>20, total>>20, kept>>20)
	switch {
	case free < kept:
		return f.because(bad, "disk-full")
	case free < lowRoom*kept:
		return f.because(doubted, "disk-low")
	}
	return f
}

// existing returns dir, or the nearest directory above it that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// examinePermissions looks at who may write data_dir, and who may read keys and
// secrets.
func (p *program) examinePermissions(conf *config.Config) []symptom {
	all := []symptom{examineDataDir(conf.DataDir)}
	if _, err := os.Stat(keysDir(conf)); err == nil {
		f := symptom{check: "permissions", subject: keysDir(conf), state: fine, text: "the keys can be read, by this user alone"}
		if _, err := openKeys(conf, p.clock); err != nil {
			f.text = err.Error()
			f = f.because(bad, "keys")
		}
		all = append(all, f)
	}
	if keys := conf.PlainSecrets(); len(keys) > 0 && runtime.GOOS != "windows" {
		all = append(all, examineSecrets(conf, keys))
	}
	return all
}

// examineDataDir makes a file in the directory and takes it away again.
func examineDataDir(dir string) symptom {
	f := symptom{check: "permissions", subject: dir, state: fine, text: "this user can write it"}
	probe, err := os.CreateTemp(dir, ".doctor-*")
	switch {
	case os.IsNotExist(err):
		f.text = "does not exist yet; serve makes it"
		return f
	case err != nil:
		f.text = fmt.Sprintf("cannot be written: %v", cause(err))
		return f.because(bad, "data-dir")
	}
	probe.Close()
	os.Remove(probe.Name())
	return f
}

// examineSecrets looks at who may read the configuration that has secrets in it.
func examineSecrets(conf *config.Config, keys []string) symptom {
	file, _ := conf.Where(keys[0])
	f := symptom{check: "permissions", subject: file, state: fine, text: "holds secrets, and not everybody may read it"}
	info, err := os.Stat(file)
	if err != nil {
		f.text = err.Error()
		return f
	}
	if mode := info.Mode().Perm(); mode&0o004 != 0 {
		f.text = fmt.Sprintf("everybody may read it (mode %04o), and it holds %s", mode, strings.Join(keys, ", "))
		return f.because(doubted, "plain-secrets")
	}
	return f
}
