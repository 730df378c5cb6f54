//go:build unix

package crashtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PointVariable names, in the environment of a relay, the crash point at which
// it ends itself: NAME:N, the Nth time that it passes it.
const PointVariable = "CRASHPOINT"

// startMost is how long a relay may take to start.
const startMost = time.Minute

// A Process is a relay that a command starts, in a process group of its own.
type Process struct {
	Command []string
	Env     []string // added to the environment
	Addr    string   // where it takes mail
	// Announce finds the address in a line of its output, in its first group,
	// instead of Addr.
	Announce *regexp.Regexp
	// PIDFile names the file with the process that Command leaves behind: then
	// that one's group is what is killed.
	PIDFile string
	Log     io.Writer // gets its output; may be nil

	cmd   *exec.Cmd
	pid   int
	ended chan struct{}
}

// PID returns the process that was started last.
func (p *Process) PID() int { return p.pid }

// ExitCode returns the code with which the process ended by itself; -1 if it
// runs or was killed.
func (p *Process) ExitCode() int {
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Start starts the command and waits until it takes mail.
func (p *Process) Start(ctx context.Context, point string) (addr string, ended <-chan struct{}, err error) {
	ctx, cancel := context.WithTimeout(ctx, startMost)
	defer cancel()
	p.cmd = exec.Command(p.Command[0], p.Command[1:]...)
	p.cmd.Env = append(os.Environ(), p.Env...)
	if point != "" {
		p.cmd.Env = append(p.cmd.Env, PointVariable+"="+point)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.ended = make(chan struct{})
	if p.PIDFile != "" {
		return p.daemon(ctx)
	}
	out, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		return "", nil, err
	}
	p.pid = p.cmd.Process.Pid
	announced := make(chan string, 1)
	go p.listen(out, announced)
	go func() {
		p.cmd.Wait()
		w.Close()
		close(p.ended)
	}()
	addr, err = p.ready(ctx, announced)
	if err != nil {
		p.Kill()
	}
	return addr, p.ended, err
}

// listen copies output and looks for the address in it.
func (p *Process) listen(out io.Reader, announced chan<- string) {
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if p.Log != nil {
			io.WriteString(p.Log, line)
		}
		if p.Announce != nil {
			if m := p.Announce.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil {
				select {
				case announced <- m[1]:
				default:
				}
			}
		}
		if err != nil {
			return
		}
	}
}

// ready waits until the relay takes mail.
func (p *Process) ready(ctx context.Context, announced <-chan string) (string, error) {
	for {
		select {
		case addr := <-announced:
			return addr, nil
		case <-p.ended:
			return "", errors.New("the relay ended at its start")
		case <-ctx.Done():
			return "", fmt.Errorf("the relay takes no mail at %q: %w", p.Addr, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
		if p.Announce == nil && listens(p.Addr) {
			return p.Addr, nil
		}
	}
}

func listens(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// daemon runs a command that leaves a process behind.
func (p *Process) daemon(ctx context.Context) (string, <-chan struct{}, error) {
	if p.Log != nil {
		p.cmd.Stdout, p.cmd.Stderr = p.Log, p.Log
	}
	if err := p.cmd.Run(); err != nil {
		return "", nil, err
	}
	addr, err := p.ready(ctx, nil)
	if err != nil {
		return "", nil, err
	}
	text, err := os.ReadFile(p.PIDFile)
	if err != nil {
		return "", nil, err
	}
	p.pid, err = strconv.Atoi(string(bytes.TrimSpace(text)))
	return addr, p.ended, err
}

// Kill kills the group of the process.
func (p *Process) Kill() error {
	if err := syscall.Kill(-p.pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		return err
	}
	return p.gone()
}

// Stop asks the process to end, and insists after a while.
func (p *Process) Stop() error {
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil && err != syscall.ESRCH {
		return err
	}
	if err := p.gone(); err != nil {
		return errors.Join(err, p.Kill())
	}
	return nil
}

// gone waits until the process is.
func (p *Process) gone() error {
	if p.PIDFile == "" {
		if !wait(context.Background(), p.ended, startMost) {
			return errors.New("the relay does not end")
		}
		return nil
	}
	for limit := time.Now().Add(startMost); alive(p.pid) || listens(p.Addr); {
		if time.Now().After(limit) {
			return errors.New("the relay does not end")
		}
		wait(context.Background(), nil, 5*time.Millisecond)
	}
	return nil
}

// alive reports whether a process that is not our child runs. One that waits
// to be reaped does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true // no /proc here
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}
