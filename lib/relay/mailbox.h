/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages to a worker from other threads: rare events, and what local peers send (local.h). */
#ifndef RELAY_MAILBOX_H
#define RELAY_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>

struct worker;

/* Part of a larger struct, which deliver frees. */
struct message {
    struct message *next;
    void (*deliver)(struct worker *worker, struct message *message); /* runs on the worker */
};

struct mailbox {
    pthread_mutex_t lock; /* guards the rest; a leaf */
    struct message *head, *tail;
    bool closed;
};

void mailbox_init(struct mailbox *mailbox);
void mailbox_destroy(struct mailbox *mailbox);

/* Adds a message, whose ownership passes. Returns false when the worker has ended: then it does not
 * pass. The caller wakes the worker. */
bool mailbox_post(struct mailbox *mailbox, struct message *message);

/* Takes all messages, in their order. */
struct message *mailbox_take(struct mailbox *mailbox);

/* Closes the mailbox if it is empty; returns whether it was. */
bool mailbox_close(struct mailbox *mailbox);

#endif
