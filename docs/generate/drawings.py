#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""drawings.py FOLDER: draws what docs/architecture.md shows."""

import os
import sys

sys.dont_write_bytecode = True

from drawing import Drawing  # noqa: E402


def data_path():
    d = Drawing(980, 640, "The way of a packet",
                "From the sender's socket through chunk, record, frame and destination to the "
                "receiver's socket, or into its queue while another worker drains it")
    d.area(176, 124, 784, 230, "thread", "The worker that has received the packet: all in one turn")
    d.box(24, 156, 128, 80, "kernel", "socket", "of the sender")
    d.box(196, 156, 126, 80, "own", "chunk", "io/chunk.c", "16 KiB,", "128 a worker")
    d.box(352, 156, 134, 80, "own", "open in place", "secure.c: a record", "websocket.c: mask",
          "(where there is one)")
    d.box(516, 156, 126, 80, "own", "frame", "frames.c: used", "where it lies, if it", "is whole")
    d.box(672, 156, 134, 80, "own", "forward", "forward.c: the type", "and the key are",
          "changed in place")
    d.box(836, 156, 108, 80, "locked", "sink", "sink.c: idle, or", "in a batch of", "this turn?")
    for left, right in ((152, 196), (322, 352), (486, 516), (642, 672), (806, 836)):
        d.arrow((left, 196), (right, 196))
    d.box(672, 50, 272, 56, "locked", "route table (route.c): 256 stripes",
          "asked when the connection has not", "got the destination at hand")
    d.arrow((739, 156), (739, 106), kind="thin", both=True)

    # Yes: this worker drains.
    d.arrow((890, 236), (890, 292), (806, 292))
    d.text(898, 268, "yes", "small")
    d.box(642, 262, 164, 76, "own", "drainer", "drainer.c: pieces of", "chunks, no copy;",
          "neighbours are one")
    d.box(436, 262, 164, 76, "own", "wrap and seal", "websocket_batch.c and",
          "seal_batch.c, where", "there is something to do")
    d.arrow((642, 300), (600, 300))
    d.text(208, 290, "end of the turn: one send,", "small")
    d.text(208, 316, "up to 64 KiB and a frame", "small")
    d.arrow((436, 300), (152, 300))

    # No: another worker drains.
    d.arrow((920, 236), (920, 412), (892, 412))
    d.text(910, 380, "no: a copy", "small", "end")
    d.area(176, 372, 444, 214, "thread", "The worker that drains the sink: this one or another")
    d.box(672, 396, 220, 170, "locked", "queue of the receiver", "outq.c, under sink->lock", "",
          "the relay's own: 64 frames", "disco: 128 frames", "data: 1,024 frames,",
          "2 MiB; by senders", "no older than 2 s")
    d.box(436, 404, 164, 76, "own", "drainer", "takes from the queue", "behind its own batch:",
          "the relay's own first")
    d.box(206, 404, 164, 76, "own", "wrap and seal", "as above")
    d.arrow((672, 442), (600, 442))
    d.arrow((436, 442), (370, 442))
    d.arrow((206, 442), (152, 442))
    d.box(24, 262, 128, 324, "kernel", "socket", "of the receiver", "", "unsent bytes:",
          "32 KiB at the most",
          "(TCP_NOTSENT_", "LOWAT)")
    d.arrow((152, 538), (206, 538))
    d.box(206, 500, 394, 74, "own", "a short send",
          "half a frame, or records: pending, goes before all else",
          "whole frames: back to the front of the queue;", "then wait for room")
    d.arrow((600, 538), (672, 538))

    d.legend(616, ("kernel", "the kernel's"), ("own", "owned by that worker: no lock"),
             ("locked", "any worker's, under a short lock"), ("thread", "a thread"))
    return d.render()


def threads():
    d = Drawing(980, 640, "Threads, and what they share",
                "The daemon's main thread, metrics thread and verify thread above, the workers and "
                "resolvers of the library below, and between them what they share")
    d.box(24, 52, 264, 92, "thread", "main thread", "signals; reload.c; makes, starts, drains",
          "and frees the relay; each second:", "watchdog, certificates, history,", "status, memory")
    d.box(304, 52, 280, 92, "thread", "metrics thread", "libmicrohttpd, for web.c:",
          "/metrics, /health, /debug,", "the status page")
    d.box(600, 52, 216, 92, "thread", "verify thread", "where clients are asked about:",
          "verify.c, libcurl; answers by", "hyperderp_admission_", "answer()")
    d.box(832, 52, 124, 92, "thread", "resolvers", "a thread for", "each name of a",
          "link, detached:", "it may block")

    y, high = 216, 100
    d.box(24, y, 118, high, "atomic", "phase, limits", "relay->phase,", "limits.h;",
          "a wake-up by", "eventfd")
    d.box(158, y, 124, high, "locked", "status, history", "status.h: atomics;", "history.c:",
          "a mutex")
    d.box(298, y, 126, high, "atomic", "counters", "one block for", "each worker, which",
          "alone writes it", "(relaxed)")
    d.box(440, y, 126, high, "locked", "route table", "256 stripes with", "a lock each; keys,",
          "their connections,", "links")
    d.box(582, y, 116, high, "locked", "sinks", "sink->lock:", "the queue, who", "drains, is it",
          "closed")
    d.box(714, y, 116, high, "locked", "access", "allow list, under", "a lock; questions",
          "and verdicts,", "under another")
    d.box(846, y, 110, high, "locked", "mailboxes", "one for each", "worker, with an", "eventfd")
    d.arrow((83, 144), (83, y))
    d.arrow((190, 144), (190, y))
    d.arrow((268, y), (268, 170), (320, 170), (320, 144))
    d.arrow((361, y), (361, 144))
    d.arrow((503, y), (503, 144))
    d.arrow((640, y), (640, 176), (560, 176), (560, 144))
    d.arrow((740, 144), (740, y), both=True)
    d.arrow((808, 144), (808, 176), (868, 176), (868, y))
    d.arrow((920, 144), (920, y))
    d.text(91, 186, "sets, wakes", "small")
    d.text(198, 186, "writes", "small")
    d.text(276, 190, "reads", "small")
    d.text(369, 166, "reads", "small")
    d.text(511, 166, "lists", "small")
    d.text(732, 186, "both", "small", "end")
    d.text(860, 194, "posts", "small", "end")
    d.text(928, 186, "posts", "small")

    top = 386
    for x, writes, both in ((83, False, False), (361, True, False), (503, False, True),
                            (640, False, True), (772, False, True), (901, False, False)):
        if writes:
            d.arrow((x, top), (x, y + high))
        else:
            d.arrow((x, y + high), (x, top), both=both)
    d.text(91, 344, "follow", "small")
    d.text(369, 344, "write", "small")
    d.text(511, 344, "any worker", "small")
    d.text(648, 344, "any worker", "small")
    d.text(780, 344, "admit()", "small")
    d.text(909, 344, "take", "small")
    d.area(24, top, 932, 198, "thread",
           "Workers of the library, one thread each: what is in a box, no other thread touches")
    for i, name in enumerate(("worker 0", "worker 1", "worker n - 1")):
        d.box(40 + 306 * i, top + 38, 288, 144, "own", name,
              "loop of its engine, timers, receive chunks",
              "its connections: conn, secure, websocket", "drainers of the sinks that it drains",
              "frame pool, cipher contexts, slabs", "what it is given: listeners to accept from,",
              "new connections, sockets of STUN,", "links to other nodes")

    d.legend(616, ("thread", "a thread"), ("own", "owned by its thread"),
             ("locked", "under locks"), ("atomic", "atomics, each by itself"))
    return d.render()


def life():
    d = Drawing(980, 372, "The life of a connection",
                "States of a connection and which may follow which")
    y, high, wide = 84, 84, 134
    states = (("PROXY", "header of the", "PROXY protocol;", "listeners for it"),
              ("TLS", "handshake;", "listeners with a", "certificate"),
              ("HTTP", "request head;", "after a page", "the next one"),
              ("HELLO", "ServerKey sent,", "ClientInfo", "awaited"),
              ("ADMISSION", "admit() is asked,", "nothing is read", ""),
              ("OPEN", "passes packets,", "KeepAlive when", "it is due"))
    xs = [24 + 159 * i for i in range(len(states))]
    for x, state in zip(xs, states):
        d.box(x, y, wide, high, "own", *state)
    for left, right in zip(xs, xs[1:]):
        d.arrow((left + wide, y + 42), (right, y + 42))
    d.arrow((xs[0] + 67, y), (xs[0] + 67, 62), (xs[2] + 67, 62), (xs[2] + 67, y), kind="thin")
    d.text(xs[1] + 67, 56, "without TLS", "small", "middle")
    d.arrow((xs[3] + 67, y), (xs[3] + 67, 62), (xs[5] + 67, 62), (xs[5] + 67, y), kind="thin")
    d.text(xs[4] + 67, 56, "a link to another node", "small", "middle")
    d.box(xs[3], 236, 293, 74, "own", "DRAINING", "out of the route table; sends what is queued,",
          "discards what comes; 3 s at the most")
    d.box(xs[0], 236, 293, 74, "own", "CLOSED", "its socket is shut down; freed after the last",
          "completion of its receive")
    d.arrow((xs[3], 273), (xs[0] + 293, 273))
    rail = 202
    for x in xs[1:]:
        d.parts.append(f'<polyline points="{x + 80},{y + high} {x + 80},{rail}" class="thin"/>')
    d.parts.append(f'<polyline points="{xs[1] + 80},{rail} {xs[5] + 80},{rail}" class="thin"/>')
    d.arrow((xs[3] + 146, rail), (xs[3] + 146, 236))
    d.text(xs[3] + 156, 224, "a last word: page, alert, Restarting, Close", "small")
    low = 190
    for x in xs:
        d.parts.append(f'<polyline points="{x + 54},{y + high} {x + 54},{low}" class="thin"/>')
    d.parts.append(f'<polyline points="{xs[0] + 54},{low} {xs[5] + 54},{low}" class="thin"/>')
    d.arrow((xs[0] + 54, low), (xs[0] + 54, 236))
    d.text(xs[0] + 64, 224, "at once: end of stream, deadline, fault", "small")
    d.text(24, 338,
           "It begins in PROXY, TLS or HTTP, whichever its listener asks for first. The deadline "
           "up to "
           "ADMISSION is handshake_timeout,", "small")
    d.text(24, 355, "from accept; in HTTP each further request has its own.", "small")
    return d.render()


DRAWINGS = {"data-path.svg": data_path, "threads.svg": threads, "connection.svg": life}


def main(arguments):
    if len(arguments) != 1:
        sys.stderr.write("usage: drawings.py FOLDER\n")
        return 64
    os.makedirs(arguments[0], exist_ok=True)
    for name, draw in DRAWINGS.items():
        with open(os.path.join(arguments[0], name), "w", encoding="utf-8") as file:
            file.write(draw())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
