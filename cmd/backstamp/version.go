package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
}

// versionOf reads what the Go tool noted in the binary.
func versionOf() version {
	v := version{Version: "devel", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Commit = s.Value
		}
	}
	return v
}

// writeLine writes one JSON object and a line end.
func writeLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// unmarshal reads one row of the API.
func unmarshal(line []byte, into any) error {
	if err := json.Unmarshal(line, into); err != nil {
		return exitf(exitFailed, "reading a row: %v", err)
	}
	return nil
}

func (p *program) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := versionOf()
			if p.json {
				return writeLine(p.out, v)
			}
			fmt.Fprintf(p.out, "backstamp %s %s\n", v.Version, v.Go)
			return nil
		},
	}
	return p.jsonFlag(c)
}
