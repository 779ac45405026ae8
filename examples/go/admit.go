// SPDX-License-Identifier: BSD-3-Clause

package main

// #include <hyperderp/hyperderp.h>
import "C"

import (
	"runtime/cgo"
	"unsafe"
)

// A gate decides who may join.
type gate struct {
	guests    map[C.hyperderp_key]bool // fixed before the start; empty: everybody
	questions chan question
}

// A question is a client that waits for its answer. Its ticket must be answered exactly once.
type question struct {
	ticket  *C.hyperderp_admission
	key     C.hyperderp_key
	address string
}

// goAdmit is called on a thread of the relay, which serves nobody until it returns: what takes time
// is left to a goroutine. What client points to is valid until then only.
//
//export goAdmit
func goAdmit(user unsafe.Pointer, client *C.hyperderp_client_info, ticket *C.hyperderp_admission) C.hyperderp_verdict {
	gate := (*(*cgo.Handle)(user)).Value().(*gate)
	select {
	case gate.questions <- question{ticket, client.key, C.GoString(client.address)}:
		return C.HYPERDERP_LATER
	default: // so many wait already that one more is turned away, rather than the relay stopped
		return C.HYPERDERP_DENY
	}
}

// answer runs until no more questions come.
func (g *gate) answer() {
	for q := range g.questions {
		// Here a database or a control plane would be asked.
		verdict := C.hyperderp_verdict(C.HYPERDERP_DENY)
		if len(g.guests) == 0 || g.guests[q.key] {
			verdict = C.HYPERDERP_ALLOW
		}
		C.hyperderp_admission_answer(q.ticket, verdict)
	}
}
