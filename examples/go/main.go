// SPDX-License-Identifier: BSD-3-Clause

// A relay inside a Go program, which decides in Go who may join: the node keys that the command line
// names, or everyone when it names none. Prints the counters when SIGINT or SIGTERM ends it.
//
//	relay ADDRESS [NODEKEY...]        for example: relay 127.0.0.1:3340
package main

/*
#cgo pkg-config: libhyperderp
#include <stdlib.h>
#include <hyperderp/hyperderp.h>

// cgo knows no const, so that a Go function cannot be the callback itself.
extern hyperderp_verdict goAdmit(void *, hyperderp_client_info *, hyperderp_admission *);
static hyperderp_verdict admit(void *user, const hyperderp_client_info *client,
                               hyperderp_admission *ticket)
{
    return goAdmit(user, (hyperderp_client_info *)client, ticket);
}
static void set_admit(hyperderp_relay_options *options)
{
    options->admit = admit;
}
*/
import "C"

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/cgo"
	"sync"
	"syscall"
	"unsafe"
)

// check ends the program when a function of the library returned a negative errno.
func check(result C.int, what string) {
	if result < 0 {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, syscall.Errno(-result))
		os.Exit(1)
	}
}

func parseKey(text string) (key C.hyperderp_key) {
	c := C.CString(text)
	defer C.free(unsafe.Pointer(c))
	check(C.hyperderp_key_parse(&key, c), text)
	return key
}

// newRelay makes a relay that asks the gate. The handle is how C finds the gate again: it must stay
// where it is, and be there, for as long as the relay.
func newRelay(handle *cgo.Handle) (relay *C.hyperderp_relay) {
	var options C.hyperderp_relay_options
	C.hyperderp_relay_options_init_sized(&options, C.sizeof_hyperderp_relay_options)
	options.user = unsafe.Pointer(handle)
	C.set_admit(&options)
	check(C.hyperderp_relay_new(&relay, &options), "making a relay")
	return relay
}

// listen opens a listener and tells its address, with the port that the kernel chose.
func listen(relay *C.hyperderp_relay, address string) string {
	var options C.hyperderp_listener_options
	var text [128]C.char
	C.hyperderp_listener_options_init_sized(&options, C.sizeof_hyperderp_listener_options)
	options.address = C.CString(address)
	defer C.free(unsafe.Pointer(options.address))
	number := C.hyperderp_relay_add_listener(relay, &options)
	check(number, address)
	check(C.hyperderp_relay_listener_address(relay, number, &text[0], C.size_t(len(text))), address)
	return C.GoString(&text[0])
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: relay ADDRESS [NODEKEY...]")
		os.Exit(64)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)

	gate := &gate{guests: map[C.hyperderp_key]bool{}, questions: make(chan question, 1024)}
	for _, text := range os.Args[2:] {
		gate.guests[parseKey(text)] = true
	}
	handle := cgo.NewHandle(gate)
	var pinned runtime.Pinner
	pinned.Pin(&handle)

	relay := newRelay(&handle)
	address := listen(relay, os.Args[1])
	var answering sync.WaitGroup
	answering.Add(1)
	go func() {
		defer answering.Done()
		gate.answer()
	}()
	check(C.hyperderp_relay_start(relay), "starting the relay")
	fmt.Println("listening on", address)
	<-stop

	check(C.hyperderp_relay_drain(relay, 5000), "draining")
	// No question comes any more; those that there are must be answered before the relay is freed.
	C.hyperderp_relay_stop(relay)
	close(gate.questions)
	answering.Wait()
	var counters C.hyperderp_counters
	counters.size = C.sizeof_hyperderp_counters
	C.hyperderp_relay_counters(relay, &counters)
	fmt.Printf("%d clients joined, %d were denied, %d of %d packets delivered\n",
		counters.handshakes_ok, counters.handshakes_denied, counters.packets_delivered,
		counters.packets_received)
	C.hyperderp_relay_free(relay)
	pinned.Unpin()
	handle.Delete()
}
