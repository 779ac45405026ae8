/* SPDX-License-Identifier: BSD-3-Clause */
/* Accepting connections and giving each to the worker that has the fewest. */
#ifndef RELAY_ACCEPTOR_H
#define RELAY_ACCEPTOR_H

#include "io/loop.h"

struct worker;

/* Each worker accepts from the listeners whose number it has modulo the number of workers. */
void acceptor_start(struct worker *worker);
void acceptor_event(struct worker *worker, const struct io_event *event);

/* Closes the worker's listeners. */
void acceptor_stop(struct worker *worker);

#endif
