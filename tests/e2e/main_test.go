// SPDX-License-Identifier: BSD-3-Clause

// Package e2e is a tailnet in a box: a control server, two real tailscaled and the built daemon, on
// networks that exist for these tests alone.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const (
	// insideVariable marks the process that already has namespaces of its own, and names its folder.
	insideVariable = "E2E_INSIDE"
	// skipped is the exit status by which tests/run-tests knows that there is nothing to judge.
	skipped = 77
)

// engines are those of this run; TestMain sets it.
var engines []string

// folder holds what outlives a single test: the file of hosts, and the authority's certificate.
var folder string

func TestMain(m *testing.M) {
	folder = os.Getenv(insideVariable)
	if folder == "" {
		os.Exit(runInside())
	}
	var err error
	if engines, err = chooseEngines(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	if err := buildNetworks(); err != nil {
		fmt.Println("this machine does not let the tests make networks of their own:", err)
		os.Exit(skipped)
	}
	if err := makeAuthority(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runInside starts this program again with a network, mounts and processes of its own. It is the
// first process in there: when it ends the kernel ends all others, whatever became of a test.
func runInside() int {
	if _, err := exec.LookPath("ip"); err != nil {
		fmt.Println("the program ip is not there; ./bootstrap installs it, as package iproute2")
		return skipped
	}
	path, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(path)

	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = insideEnvironment(path)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		becomeRootInside(cmd.SysProcAttr)
	}
	// The signal above comes when the thread ends that started the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		fmt.Println("this machine does not let the tests have namespaces, as root would:", err)
		return skipped
	}
	// Asked to end, it ends those inside first, and removes what they wrote.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		cmd.Process.Kill()
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	if status := cmd.ProcessState.ExitCode(); status >= 0 {
		return status
	}
	fmt.Fprintln(os.Stderr, "e2e:", err)
	return 1
}

// becomeRootInside asks for a namespace of users as well, in which this user may do what root may.
func becomeRootInside(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
}

// insideEnvironment leaves out proxies, which nothing in there could reach.
func insideEnvironment(path string) []string {
	environment := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return strings.HasSuffix(strings.ToLower(name), "_proxy") || strings.HasPrefix(name, "SSL_CERT_")
	})
	return append(environment, insideVariable+"="+path, "TMPDIR="+path,
		// Go reads it once, when it first needs the system's authorities.
		"SSL_CERT_FILE="+filepath.Join(path, authorityFile))
}

// chooseEngines reads the environment, as tests/interop does.
func chooseEngines() ([]string, error) {
	for _, variable := range []string{"HYPER_DERP", "TAILSCALED"} {
		path := os.Getenv(variable)
		if path == "" {
			return nil, fmt.Errorf("%s must name the program to test with; use make check-e2e", variable)
		}
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%s: %w", variable, err)
		}
	}
	known := []string{"io_uring", "epoll"}
	list := os.Getenv("INTEROP_ENGINES")
	if list == "" {
		return known, nil
	}
	chosen := strings.Split(list, ",")
	for _, engine := range chosen {
		if !slices.Contains(known, engine) {
			return nil, fmt.Errorf("INTEROP_ENGINES: %q is none of %s", engine, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}

// forEachEngine runs a test once with each engine of the relay.
func forEachEngine(t *testing.T, test func(t *testing.T, engine string)) {
	t.Helper()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) { test(t, engine) })
	}
}
