/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending records of the kernel's: keys and the end. */
#include "relay/offload.h"

#include <errno.h>

#include "relay/drainer.h"
#include "relay/sink.h"
#include "relay/worker.h"
#include "tls/ktls.h"

/* What a record costs of its key besides its content, in bytes: header and tag are two blocks. */
#define RECORD_COST 32

bool offload_begin(int fd, const struct tls_tx *tx)
{
    return ktls_attach(fd) == 0 && ktls_set_tx(fd, tx) == 0;
}

void offload_sent(struct sink_tls *tls, size_t bytes)
{
    tls->used += bytes + RECORD_COST * (1 + bytes / TLS_MAX_PLAINTEXT);
}

/* The limit of RFC 8446 section 5.5 in bytes: how many records the kernel makes of them is its own
 * affair. */
static bool is_used_up(const struct sink_tls *tls)
{
    return tls->used / TLS_MAX_PLAINTEXT >= tls->tx.half.suite->record_limit;
}

int offload_renew(struct drainer *drainer)
{
    struct worker *worker = drainer->worker;
    struct sink_tls *tls = drainer->sink->tls;
    bool asked = atomic_load_explicit(&tls->update_asked, memory_order_relaxed);

    if (!asked && !is_used_up(tls))
        return 0;
    if (!worker->relay->ktls.updates) /* who asked for it has changed its own key: it is lost */
        return is_used_up(tls) ? -EKEYEXPIRED : 0;
    int error = ktls_update_tx(drainer->sink->fd, &tls->tx, false);
    if (error)
        return error;
    atomic_store_explicit(&tls->update_asked, false, memory_order_relaxed);
    tls->used = 0;
    counters_add(worker->counters, COUNTER_tls_key_updates, 1);
    return 0;
}

bool offload_end(struct sink *sink, uint8_t alert)
{
    if (ktls_send_alert(sink->fd, (enum tls_alert)alert) == -EAGAIN)
        return false;
    sink->tls->ended = true;
    return true;
}
