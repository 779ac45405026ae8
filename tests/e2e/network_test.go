// SPDX-License-Identifier: BSD-3-Clause

// The networks: one for the relay and the control server, in which the tests run, and one for each
// node. A node has a cable to the relay's address and no way to anywhere else.

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const hostName = "relay.test"

var (
	relayV4 = netip.MustParseAddr("10.53.0.1")
	relayV6 = netip.MustParseAddr("fd53::1")

	sites = []*site{
		{name: "a", v4: netip.MustParseAddr("10.53.0.11"), v6: netip.MustParseAddr("fd53::11")},
		{name: "b", v4: netip.MustParseAddr("10.53.0.12"), v6: netip.MustParseAddr("fd53::12")},
	}
)

// A site is the network that a node is in.
type site struct {
	name   string
	v4, v6 netip.Addr
	file   *os.File // keeps the namespace, and opens it
}

// buildNetworks makes what all tests share.
func buildNetworks() error {
	if err := prepareMounts(); err != nil {
		return err
	}
	if err := ip("link set dev lo up"); err != nil {
		return err
	}
	for _, s := range sites {
		if err := s.build(); err != nil {
			return err
		}
	}
	return nil
}

// prepareMounts lets this process see its own processes and the names of the tests' hosts.
func prepareMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	hosts := filepath.Join(folder, "hosts")
	text := fmt.Sprintf("127.0.0.1 localhost\n::1 localhost\n%v %s\n%v %s\n",
		relayV4, hostName, relayV6, hostName)
	if err := os.WriteFile(hosts, []byte(text), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(hosts, "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting over /etc/hosts: %w", err)
	}
	return nil
}

// build makes the site's namespace and its cable. Each end knows the address of the other alone.
func (s *site) build() error {
	if err := s.unshare(); err != nil {
		return err
	}
	cable := "to-" + s.name
	for _, command := range []string{
		fmt.Sprintf("link add name %s type veth peer name eth0 netns /proc/%d/fd/%d", cable,
			os.Getpid(), s.file.Fd()),
		fmt.Sprintf("link set dev %s up", cable),
		fmt.Sprintf("addr add %v/32 dev %s", relayV4, cable),
		fmt.Sprintf("addr add %v/128 dev %s nodad", relayV6, cable),
		fmt.Sprintf("route add %v/32 dev %s", s.v4, cable),
		fmt.Sprintf("route add %v/128 dev %s", s.v6, cable),
	} {
		if err := ip(command); err != nil {
			return err
		}
	}
	return s.do(func() error {
		for _, command := range []string{
			"link set dev lo up",
			"link set dev eth0 up",
			fmt.Sprintf("addr add %v/32 dev eth0", s.v4),
			fmt.Sprintf("addr add %v/128 dev eth0 nodad", s.v6),
			fmt.Sprintf("route add %v/32 dev eth0", relayV4),
			fmt.Sprintf("route add %v/128 dev eth0", relayV6),
		} {
			if err := ip(command); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *site) unshare() error {
	return onOwnThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("a network for %s: %w", s.name, err)
		}
		s.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
}

// do calls f in the site's network: sockets that it opens and processes that it starts are in there.
func (s *site) do(f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network of %s: %w", s.name, err)
		}
		return f()
	})
}

// onOwnThread calls f on a thread that is never used again, as f takes it to another network.
func onOwnThread(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // without an unlock the thread ends with the goroutine
		result <- f()
	}()
	return <-result
}

// ip runs the program of that name, in the network of the calling thread.
func ip(arguments string) error {
	if output, err := exec.Command("ip", strings.Fields(arguments)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", arguments, err, strings.TrimSpace(string(output)))
	}
	return nil
}

// TestNoDirectPath checks what all other tests rest on: a packet from one node to the other has no
// way but through the relay.
func TestNoDirectPath(t *testing.T) {
	for i, s := range sites {
		other := sites[len(sites)-1-i]
		for _, to := range []netip.Addr{other.v4, other.v6} {
			if err := s.send(to); err != syscall.ENETUNREACH {
				t.Errorf("a datagram from %s to %v: %v, want %v", s.name, to, err, syscall.ENETUNREACH)
			}
		}
		for _, to := range []netip.Addr{relayV4, relayV6} {
			if err := s.send(to); err != nil {
				t.Errorf("a datagram from %s to the relay at %v: %v", s.name, to, err)
			}
		}
	}
}

// send asks the kernel to send a datagram from the site, and tells what it said.
func (s *site) send(to netip.Addr) error {
	family, address := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: 9, Addr: [4]byte{}})
	if to.Is4() {
		address = &unix.SockaddrInet4{Port: 9, Addr: to.As4()}
	} else {
		family, address = unix.AF_INET6, &unix.SockaddrInet6{Port: 9, Addr: to.As16()}
	}
	return s.do(func() error {
		socket, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(socket)
		return unix.Sendto(socket, []byte("x"), 0, address)
	})
}
