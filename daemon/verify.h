/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asks others whether a client may join: the local tailscaled, verify_client_url, or first the one
 * and then the other. A thread of its own, with libcurl's multi interface, so that nobody who asks
 * waits. So many questions are asked at once, the others wait for their turn, each has its
 * deadline, and the same question is asked once however many want to know.
 */
#ifndef DAEMON_VERIFY_H
#define DAEMON_VERIFY_H

#include <stdbool.h>
#include <stdint.h>

#include <hyperderp/relay.h>

#include "config.h"

/* Questions that are asked at once, and that wait, those that wait for the same answer counted. */
#define VERIFY_AT_ONCE 64
#define VERIFY_WAITING 4096

/* How long a verdict holds for others of the same key and address. */
#define VERIFY_ALLOWED_MS 60000
#define VERIFY_DENIED_MS  5000

enum verify_result {
    VERIFY_ALLOWED,
    VERIFY_ALLOWED_UNASKED, /* the URL does not answer, and fails open */
    VERIFY_TAILSCALED_DENIED,
    VERIFY_TAILSCALED_FAILED,
    VERIFY_URL_DENIED,
    VERIFY_URL_FAILED,
    VERIFY_TIMEOUT,
    VERIFY_OVERLOAD, /* too many questions, or no memory */
    VERIFY_STOPPED,  /* the daemon ends */
};
#define VERIFY_RESULTS 9

/* What is asked, and who waits for the answer. */
struct verify_question {
    hyperderp_key key;
    char address[64];            /* "192.0.2.1:4242", as the relay tells it */
    hyperderp_admission *ticket; /* the answer's business alone */
};

/* Takes an answer: once for each question that was asked, on the thread of the verifier. detail
 * says more, or is "". */
typedef void verify_answer_fn(void *user, const struct verify_question *question,
                              enum verify_result result, const char *detail);

struct verify_figures {
    uint64_t to_url, to_tailscaled; /* requests made */
    uint64_t remembered;            /* answered without asking */
    uint64_t asking, waiting;       /* at this moment */
};

struct verify;
struct verify_settings;

/* Whether the configuration asks for any of it. */
bool verify_is_wanted(const struct config_access *access);

/* Starts the thread, and loads libcurl. 0, -ENOMEM, -EAGAIN, -ELIBACC with the reason logged. */
int verify_start(struct verify **out, const struct config_access *access, verify_answer_fn *answer,
                 void *user);

/* Goes on with these settings, whose reference passes, and forgets the verdicts; what has been
 * asked by the old ones is asked again. */
void verify_set(struct verify *verify, struct verify_settings *settings);

/* Asks. True when the answer is known at once, and in *result; otherwise answer() will tell. Any
 * thread; does not wait. */
bool verify_ask(struct verify *verify, const struct verify_question *question,
                enum verify_result *result);

void verify_read(struct verify *verify, struct verify_figures *out);

/* Answers what has not been answered, ends the thread and frees it. NULL is allowed. */
void verify_stop(struct verify *verify);

/* The address without its port, as an IP address; "" for what is none. */
void verify_source(const char *address, char out[64]);

#endif
