package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// controlFile, in data_dir, holds the path of the private socket.
const controlFile = "control"

// An apiClient speaks to the private API: that of the running server over its
// socket, or, where none runs, one that is mounted here on the store.
type apiClient struct {
	lang   string // of the words in answers
	http   http.Client
	server bool // a server runs
	close  func()
}

// dialServer returns a client of the server that runs on dir, or nil.
func dialServer(dir string) *apiClient {
	path, err := os.ReadFile(filepath.Join(dir, controlFile))
	if err != nil {
		return nil
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimSpace(string(path)))
	}
	probe, err := dial(context.Background(), "", "")
	if err != nil {
		return nil // left behind by a server that was killed
	}
	probe.Close()
	return newAPIClient(dial, true, func() {})
}

// mountLocal returns a client of a handler in this process.
func mountLocal(h http.Handler, done func()) *apiClient {
	conns := make(pipeListener)
	server := &http.Server{Handler: h}
	go server.Serve(conns)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return newAPIClient(dial, false, func() {
		server.Close()
		done()
	})
}

func newAPIClient(dial func(context.Context, string, string) (net.Conn, error), server bool, done func()) *apiClient {
	return &apiClient{
		http:   http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}},
		server: server, close: done,
	}
}

// A pipeListener accepts the connections that are sent to it.
type pipeListener chan net.Conn

func (l pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l pipeListener) Close() error   { close(l); return nil }
func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "local", Net: "unix"} }

// get asks for something; the caller closes the body.
func (c *apiClient) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	return c.do(ctx, http.MethodGet, path, query, nil)
}

// post sends in and reads out, which may be nil.
func (c *apiClient) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := c.do(ctx, http.MethodPost, path, nil, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(answer).Decode(out)
}

func (c *apiClient) do(ctx context.Context, method, path string, query url.Values, body []byte) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "localhost", Path: "/api/v1" + path, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.lang != "" {
		r.Header.Set("Accept-Language", c.lang)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, exitf(exitFailed, "asking the server: %v", err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	var problem struct{ Detail string }
	if json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&problem); problem.Detail == "" {
		problem.Detail = answer.Status
	}
	code := exitFailed
	if answer.StatusCode == http.StatusBadRequest || answer.StatusCode == http.StatusUnprocessableEntity {
		code = exitUsage
	}
	return nil, exitf(code, "%s", problem.Detail)
}

// lines yields the rows of a listing, one JSON object each. A listing that
// ended before its time is an error.
func lines(body io.Reader, each func(line []byte) error) error {
	in := bufio.NewReader(body)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			if text, ok := bytes.CutPrefix(line, []byte(`{"error":`)); ok {
				return exitf(exitFailed, "%s", bytes.TrimRight(text, "}\n"))
			}
			if err := each(line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return exitf(exitFailed, "the listing broke off: %v", err)
		}
	}
}

// list prints a listing: as it is with --json, else row by row through show.
func list[T any](ctx context.Context, p *program, c *apiClient, path string, query url.Values, show func(T)) error {
	body, err := c.get(ctx, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	return lines(body, func(line []byte) error {
		if p.json {
			_, err := p.out.Write(line)
			return err
		}
		var row T
		if err := json.Unmarshal(line, &row); err != nil {
			return fmt.Errorf("reading a row: %w", err)
		}
		show(row)
		return nil
	})
}
