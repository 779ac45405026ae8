/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The questions of verify.c: those that wait for their turn, in their order, and a table by which
 * one that is asked already is found. Guarded by the verifier's lock.
 */
#ifndef DAEMON_VERIFY_QUESTIONS_H
#define DAEMON_VERIFY_QUESTIONS_H

#include "verify.h"
#include "verify_query.h"

#define QUESTION_BUCKETS 1024

/* Shared by the questions that began with them; never changed. */
struct verify_settings {
    unsigned refs;
    char *url, *socket;
    bool fail_open;
    int64_t timeout_ms;
};

struct question {
    struct question *next;  /* of those that wait, or that are asked */
    struct question *chain; /* of the bucket */
    struct question *also;  /* others who wait for the same answer: nothing but what and also */
    struct verify_question what;
    char source[64];
    struct verify_settings *settings;
    int64_t deadline;
    struct query *query; /* while it is asked; the thread's */
};

struct questions {
    struct question *head, **tail; /* that wait */
    unsigned waiting;
    unsigned all; /* that there are, others who wait for the same answer too */
    struct question *buckets[QUESTION_BUCKETS];
};

void questions_init(struct questions *questions);

/* Puts one behind those that wait, and into the table. */
void questions_push(struct questions *questions, struct question *question);

/* Takes the first that waits; it stays in the table. NULL when none does. */
struct question *questions_pop(struct questions *questions);

/* The question about a key and address, by these settings, or NULL. */
struct question *questions_find(struct questions *questions, const hyperderp_key *key,
                                const char *source, const struct verify_settings *settings);

/* Takes one out of the table. */
void questions_remove(struct questions *questions, struct question *question);

/* NULL without memory; one reference for the caller. */
struct verify_settings *verify_settings_new(const struct config_access *access);
void verify_settings_unref(struct verify_settings *settings);

#endif
