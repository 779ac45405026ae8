/* SPDX-License-Identifier: BSD-3-Clause */
/* Looks after the workers. */
#include "watchdog.h"

#include <errno.h>
#include <stdlib.h>

#include "log.h"

#define DEFAULT_PATIENCE_MS 5000
#define LEAST_PATIENCE_MS   500

int watchdog_init(struct watchdog *watchdog, hyperderp_relay *relay, uint64_t usec)
{
    hyperderp_counters counters = {.size = sizeof(counters)};

    hyperderp_relay_counters(relay, &counters);
    *watchdog = (struct watchdog){.relay = relay, .workers = (unsigned)counters.workers};
    watchdog->patience_ms = usec ? (int64_t)(usec / 2000) : DEFAULT_PATIENCE_MS;
    if (watchdog->patience_ms < LEAST_PATIENCE_MS)
        watchdog->patience_ms = LEAST_PATIENCE_MS;
    watchdog->watched = calloc(watchdog->workers, sizeof(struct watched));
    return watchdog->watched ? 0 : -ENOMEM;
}

void watchdog_free(struct watchdog *watchdog)
{
    free(watchdog->watched);
    watchdog->watched = NULL;
}

static bool look_at(struct watchdog *watchdog, unsigned worker, int64_t now_ms)
{
    struct watched *watched = &watchdog->watched[worker];
    hyperderp_worker_info info = {.size = sizeof(info)};

    if (hyperderp_relay_worker(watchdog->relay, worker, &info) != 0)
        return false;
    if (info.loop_turns != watched->turns || watched->moved_ms == 0) {
        if (watched->stuck)
            log_print(HYPERDERP_LOG_WARN, "worker %u works again", worker);
        *watched = (struct watched){.turns = info.loop_turns, .moved_ms = now_ms};
        return false;
    }
    if (now_ms - watched->moved_ms < watchdog->patience_ms)
        return false;
    if (!watched->stuck)
        log_print(HYPERDERP_LOG_ERROR, "worker %u is stuck: no turn of its loop for %lld ms",
                  worker, (long long)(now_ms - watched->moved_ms));
    watched->stuck = true;
    return true;
}

unsigned watchdog_look(struct watchdog *watchdog, int64_t now_ms)
{
    unsigned stuck = 0;

    for (unsigned i = 0; i < watchdog->workers; i++)
        stuck += look_at(watchdog, i, now_ms);
    hyperderp_relay_wake(watchdog->relay);
    return stuck;
}
