/* SPDX-License-Identifier: BSD-3-Clause */
/* Whose handshake goes on. */
#include "relay/tls_queue.h"

#include <errno.h>
#include <sys/socket.h>

#include "relay/conn.h"
#include "relay/secure.h"
#include "relay/sink.h"
#include "relay/worker.h"

/* What a turn may spend on handshakes before it looks at packets again. */
#define TURN_NS 300000

/* How long a client has at least to answer while others wait for its place. */
#define GRACE_NS 1000000000

static void append(struct conn **head, struct conn **tail, struct conn *conn)
{
    conn->secure->next = NULL;
    conn->secure->prev = *tail;
    if (*tail)
        (*tail)->secure->next = conn;
    else
        *head = conn;
    *tail = conn;
}

static void take_out(struct conn **head, struct conn **tail, struct conn *conn)
{
    struct secure *secure = conn->secure;

    if (secure->prev)
        secure->prev->secure->next = secure->next;
    else
        *head = secure->next;
    if (secure->next)
        secure->next->secure->prev = secure->prev;
    else
        *tail = secure->prev;
    secure->next = secure->prev = NULL;
}

void tls_queue_wait(struct conn *conn)
{
    struct tls_queue *queue = &conn->worker->tls_queue;

    conn->secure->stage = SECURE_QUEUED;
    append(&queue->waiting_head, &queue->waiting_tail, conn);
}

void tls_queue_leave(struct conn *conn)
{
    struct tls_queue *queue = &conn->worker->tls_queue;

    if (conn->secure->stage == SECURE_QUEUED) {
        take_out(&queue->waiting_head, &queue->waiting_tail, conn);
    } else if (conn->secure->stage == SECURE_SHAKING) {
        take_out(&queue->shaking_head, &queue->shaking_tail, conn);
        queue->shaking--;
        counters_add(conn->worker->counters, COUNTER_tls_handshakes_active, (uint64_t)-1);
    }
}

/* Makes room for another answered handshake. False when every client still has its time. */
static bool make_room(struct worker *worker)
{
    struct tls_queue *queue = &worker->tls_queue;
    struct conn *oldest = queue->shaking_head;

    if (queue->shaking < TLS_QUEUE_SHAKING)
        return true;
    if (worker->now - oldest->secure->answered < GRACE_NS)
        return false;
    conn_close(oldest, CONN_END_GAVE_WAY);
    return true;
}

static void answer(struct worker *worker, struct conn *conn)
{
    struct tls_queue *queue = &worker->tls_queue;

    take_out(&queue->waiting_head, &queue->waiting_tail, conn);
    append(&queue->shaking_head, &queue->shaking_tail, conn);
    queue->shaking++;
    counters_add(worker->counters, COUNTER_tls_handshakes_active, 1);
    conn->secure->stage = SECURE_SHAKING;
    conn->secure->answered = worker->now;
    secure_answer(conn);
    conn_arm(conn);
}

/* Nothing is read of who waits, so nobody has seen whether he still does: looking costs a
 * thousandth of an answer. Who has said already that nothing more comes cannot finish a handshake.
 */
static bool is_gone(const struct conn *conn)
{
    uint8_t byte;
    ssize_t n = recv(conn->sink->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

void tls_queue_run(struct worker *worker)
{
    struct tls_queue *queue = &worker->tls_queue;

    if (!queue->waiting_head)
        return;
    int64_t until = worker_clock() + TURN_NS;
    do {
        if (is_gone(queue->waiting_head)) {
            conn_close(queue->waiting_head, CONN_END_BY_PEER);
            continue;
        }
        if (!make_room(worker))
            return;
        answer(worker, queue->waiting_head);
    } while (queue->waiting_head && worker_clock() < until);
}

int64_t tls_queue_wait_time(const struct worker *worker, int64_t timeout_ns)
{
    const struct tls_queue *queue = &worker->tls_queue;

    if (!queue->waiting_head)
        return timeout_ns;
    if (queue->shaking < TLS_QUEUE_SHAKING)
        return 0;
    return timeout_ns < 0 || timeout_ns > TIMER_TICK_NS ? TIMER_TICK_NS : timeout_ns;
}
