#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A relay inside a Python program, which decides in Python who may join: the node keys that the
command line names, or everyone when it names none. Prints the counters when SIGINT or SIGTERM ends it.

    relay.py ADDRESS [NODEKEY...]        for example: relay.py 127.0.0.1:3340
"""
import ctypes
import os
import queue
import signal
import sys
import threading
from ctypes import (CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_uint,
                    c_uint64, c_uint8, c_void_p, create_string_buffer, sizeof)

# ---- What of the headers is needed here ----
# A struct begins with its size as the program knows it, and the library touches no more than that:
# so each is written down as far as it is used, as if by an older header.

# The number is HYPERDERP_ABI_VERSION: of a library with this name, all of this is as it is here.
lib = ctypes.CDLL("libhyperderp.so.0")

DENY, ALLOW, LATER = 0, 1, 2
DROP_REASONS, PACKET_KINDS = 7, 2
KEY_TEXT_SIZE = 73


class Key(Structure):
    _fields_ = [("bytes", c_uint8 * 32)]


class ClientInfo(Structure):
    _fields_ = [("size", c_size_t), ("key", Key), ("address", c_char_p), ("app_name", c_char_p)]


# void pointers stand for the opaque types. The first one is `user`: Python needs none.
Admit = CFUNCTYPE(c_int, c_void_p, POINTER(ClientInfo), c_void_p)


class RelayOptions(Structure):
    _fields_ = [
        ("size", c_size_t), ("private_key", c_uint8 * 32), ("workers", c_uint), ("engine", c_int),
        ("max_connections", c_uint), ("queue_frames", c_uint), ("queue_bytes", c_size_t),
        ("memory_bytes", c_size_t), ("handshake_timeout_ms", c_uint), ("keepalive_ms", c_uint),
        ("write_timeout_ms", c_uint), ("user", c_void_p), ("admit", Admit)]


class ListenerOptions(Structure):
    _fields_ = [("size", c_size_t), ("address", c_char_p), ("fd", c_int)]


class Counters(Structure):
    _fields_ = [(name, c_size_t if name == "size" else c_uint64) for name in (
        "size", "recv_bytes", "send_bytes", "packets_received", "packets_delivered")] + [
        ("drops", c_uint64 * PACKET_KINDS * DROP_REASONS)] + [(name, c_uint64) for name in (
            "xfer_drops", "send_drops", "send_errors", "recv_enobufs", "slab_exhausts",
            "frame_pool_hits", "frame_pool_misses", "accepts", "accept_errors", "handshakes_ok",
            "handshakes_denied")]


def declare(name, result, *arguments):
    function = getattr(lib, name)
    function.restype, function.argtypes = result, arguments
    return function


key_parse = declare("hyperderp_key_parse", c_int, POINTER(Key), c_char_p)
key_format = declare("hyperderp_key_format", None, POINTER(Key), c_char_p)
relay_options_init = declare("hyperderp_relay_options_init_sized", None, POINTER(RelayOptions),
                             c_size_t)
listener_options_init = declare("hyperderp_listener_options_init_sized", None,
                                POINTER(ListenerOptions), c_size_t)
relay_new = declare("hyperderp_relay_new", c_int, POINTER(c_void_p), POINTER(RelayOptions))
relay_add_listener = declare("hyperderp_relay_add_listener", c_int, c_void_p,
                             POINTER(ListenerOptions))
relay_listener_address = declare("hyperderp_relay_listener_address", c_int, c_void_p, c_int,
                                 c_char_p, c_size_t)
relay_start = declare("hyperderp_relay_start", c_int, c_void_p)
relay_drain = declare("hyperderp_relay_drain", c_int, c_void_p, c_uint)
relay_stop = declare("hyperderp_relay_stop", None, c_void_p)
relay_free = declare("hyperderp_relay_free", None, c_void_p)
relay_counters = declare("hyperderp_relay_counters", None, c_void_p, POINTER(Counters))
admission_answer = declare("hyperderp_admission_answer", None, c_void_p, c_int)


# ---- The program ----

def check(result, what):
    """Functions of the library return 0 or more, or a negative errno."""
    if result < 0:
        sys.exit(f"{what}: {os.strerror(-result)}")
    return result


def parse_key(text):
    key = Key()
    check(key_parse(byref(key), text.encode()), text)
    return bytes(key.bytes)


class Gate:
    """Decides who may join."""

    def __init__(self, guests):
        self.guests = guests  # empty: everybody
        self.questions = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.answer)
        self.admit = Admit(self.ask)  # the relay calls it for as long as it lives: so must this

    def ask(self, _user, client, ticket):
        """Called on a thread of the relay, which serves nobody until it returns, nor until it has
        the interpreter's lock. What client points to is valid until then only."""
        info = client.contents
        # An exception would leave the callback as 0, which is DENY, and ctypes print it.
        self.questions.put((ticket, bytes(info.key.bytes), info.address.decode()))
        return LATER

    def answer(self):
        """Each ticket must be answered exactly once."""
        while (question := self.questions.get()) is not None:
            ticket, key, _address = question
            # Here a database or a control plane would be asked.
            allowed = not self.guests or key in self.guests
            admission_answer(ticket, ALLOW if allowed else DENY)

    def close(self):
        """No question comes any more; those that there are are answered."""
        self.questions.put(None)
        self.thread.join()


def new_relay(gate):
    relay, options = c_void_p(), RelayOptions()
    relay_options_init(byref(options), sizeof(options))
    options.admit = gate.admit
    check(relay_new(byref(relay), byref(options)), "making a relay")
    return relay


def listen(relay, address):
    """Opens a listener and tells its address, with the port that the kernel chose."""
    options, text = ListenerOptions(), create_string_buffer(128)
    listener_options_init(byref(options), sizeof(options))
    options.address = address.encode()
    number = check(relay_add_listener(relay, byref(options)), address)
    check(relay_listener_address(relay, number, text, sizeof(text)), address)
    return text.value.decode()


def main():
    if len(sys.argv) < 2:
        print("usage: relay.py ADDRESS [NODEKEY...]", file=sys.stderr)
        return 64
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    gate = Gate({parse_key(text) for text in sys.argv[2:]})
    relay = new_relay(gate)
    address = listen(relay, sys.argv[1])
    check(relay_start(relay), "starting the relay")
    gate.thread.start()
    print("listening on", address, flush=True)
    signal.sigwait(stop)

    check(relay_drain(relay, 5000), "draining")
    relay_stop(relay)
    gate.close()  # before the relay is freed
    counters = Counters(sizeof(Counters))
    relay_counters(relay, byref(counters))
    print(f"{counters.handshakes_ok} clients joined, {counters.handshakes_denied} were denied,",
          f"{counters.packets_delivered} of {counters.packets_received} packets delivered")
    relay_free(relay)
    return 0


if __name__ == "__main__":
    sys.exit(main())
