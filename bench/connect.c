/* SPDX-License-Identifier: BSD-3-Clause */
/* Making the connections of a thread of the load generator. They are begun in the order of their
 * numbers: a relay that deals them out to its own threads in turn then gives the two peers of a
 * pair to different ones. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "worker.h"

#define MAX_EVENTS       64
#define MAX_CONNECTING   64                      /* in the making at once */
#define CONNECT_PATIENCE (10ull * NS_PER_SECOND) /* without any being made */

static int allocate(struct load_worker *worker, unsigned connections)
{
    const struct load_options *options = worker->load->options;
    int err;

    err = load_wait_init(&worker->wait);
    if (err < 0)
        return err;
    if (options->traffic == LOAD_RANDOM) {
        err = order_init(&worker->order, (uint64_t)options->peers * worker->peer_count);
        if (err < 0)
            return err;
    }
    worker->peers = calloc(connections, sizeof(*worker->peers));
    worker->scratch = malloc(LOAD_CONN_SCRATCH_SIZE);
    worker->burst = malloc(options->burst * (FRAME_PACKET_OVERHEAD + (size_t)options->size));
    if (worker->peers == NULL || worker->scratch == NULL || worker->burst == NULL)
        return -ENOMEM;
    return 0;
}

int load_worker_init(struct load_worker *worker, unsigned first_peer, unsigned peers,
                     unsigned first_idle, unsigned idle)
{
    struct load *load = worker->load;
    struct load_conn *conn;
    int err;

    worker->tls =
        (struct load_tls){.client = load->options->tls, .name = load->options->server_name};
    worker->peer_count = peers;
    worker->sender_count = load->options->traffic == LOAD_ONE_WAY ? peers / 2 : peers;
    random_init(&worker->random, worker->index);
    err = allocate(worker, peers + idle);
    for (unsigned i = 0; err == 0 && i < peers + idle; i++) {
        conn = &worker->peers[i].conn;
        worker->conn_count++;
        err = load_conn_init(conn, i < peers ? first_peer + i : first_idle + i - peers,
                             load->options->relay,
                             worker->load->options->tls != NULL ? &worker->tls : NULL);
        if (err == 0 && i < peers)
            load->keys[conn->number] = conn->client.public_key;
    }
    return err;
}

void load_worker_free(struct load_worker *worker)
{
    for (unsigned i = 0; i < worker->conn_count; i++)
        load_conn_free(&worker->peers[i].conn);
    load_wait_free(&worker->wait);
    order_free(&worker->order);
    free(worker->peers);
    free(worker->scratch);
    free(worker->burst);
    free(worker->tls.sealed);
    tls_ciphers_wipe(&worker->tls.ciphers);
}

/* Begins as many connections as may be in the making. 0 or a negative errno. */
static int begin(struct load_worker *worker, unsigned *begun, unsigned made)
{
    struct load *load = worker->load;
    struct load_conn *conn;
    int err;

    while (*begun < worker->conn_count && *begun - made < MAX_CONNECTING) {
        conn = &worker->peers[(*begun)++].conn;
        err = load_conn_start(conn, worker->wait.epoll, load->address, load->address_len);
        if (err < 0) {
            load_worker_note_problem(worker, "connection %u could not be made: %s", conn->number,
                                     load_conn_say_why(conn, err));
            return err;
        }
    }
    return 0;
}

/* Handles events for a while; returns how many connections were made in it, or a negative errno. */
static int go_on(struct load_worker *worker)
{
    struct epoll_event events[MAX_EVENTS];
    struct load_conn *conn;
    int n = epoll_wait(worker->wait.epoll, events, MAX_EVENTS, 50);
    int made = 0, err;
    bool was_open;

    for (int i = 0; i < n; i++) {
        conn = events[i].data.ptr;
        was_open = conn->state == LOAD_CONN_OPEN;
        err = load_conn_event(conn, events[i].events, worker->scratch, load_worker_check, worker);
        if (err < 0) {
            load_worker_note_problem(worker, "connection %u could not be made: %s", conn->number,
                                     load_conn_say_why(conn, err));
            return err;
        }
        made += conn->state == LOAD_CONN_OPEN && !was_open;
    }
    return made;
}

int load_worker_connect(struct load_worker *worker)
{
    unsigned begun = 0, made = 0;
    uint64_t last_ns = clock_ns();
    int n;

    while (made < worker->conn_count) {
        if (atomic_load_explicit(&worker->load->abort, memory_order_relaxed))
            return -EINTR;
        n = begin(worker, &begun, made);
        if (n == 0)
            n = go_on(worker);
        if (n < 0)
            return n;
        if (n > 0)
            last_ns = clock_ns();
        made += (unsigned)n;
        atomic_store_explicit(&worker->connected, made, memory_order_relaxed);
        if (clock_ns() > last_ns + CONNECT_PATIENCE) {
            load_worker_note_problem(worker, "connecting stopped after %u of %u connections", made,
                                     worker->conn_count);
            return -ETIMEDOUT;
        }
    }
    if (worker->conn_count > 0 && worker->tls.client != NULL)
        worker->result.suite = worker->peers[0].conn.tls->suite;
    return 0;
}
