/* SPDX-License-Identifier: BSD-3-Clause */
/* A ring of samples. */
#include "history.h"

#include <stdlib.h>
#include <string.h>

#include "process.h"

void history_init(struct history *history)
{
    memset(history, 0, sizeof(*history));
    pthread_mutex_init(&history->lock, NULL);
}

void history_destroy(struct history *history)
{
    pthread_mutex_destroy(&history->lock);
}

/* Per second, though the samples may be a little more than a second apart. */
static uint64_t rate(uint64_t now, uint64_t before, double seconds)
{
    return (uint64_t)((double)(now - before) / seconds + 0.5);
}

static uint64_t drops_of(const hyperderp_counters *counters, unsigned reason)
{
    uint64_t sum = 0;

    for (unsigned kind = 0; kind < HYPERDERP_PACKET_KINDS; kind++)
        sum += counters->drops[reason][kind];
    return sum;
}

void history_add(struct history *history, const hyperderp_relay *relay, int64_t now_ms)
{
    hyperderp_counters now = {.size = sizeof(now)};
    const hyperderp_counters *before = &history->last;
    struct process_figures process;

    hyperderp_relay_counters(relay, &now);
    process_read(&process);
    double seconds = (double)(now_ms - history->last_ms) / 1000;
    if (history->last_ms != 0 && seconds > 0) {
        struct history_sample sample = {
            .recv_bytes = rate(now.recv_bytes, before->recv_bytes, seconds),
            .send_bytes = rate(now.send_bytes, before->send_bytes, seconds),
            .packets_in = rate(now.packets_received, before->packets_received, seconds),
            .packets_out = rate(now.packets_delivered, before->packets_delivered, seconds),
            .peers = now.peers_active,
            .resident_bytes = process.resident_bytes,
            .cpu_seconds = (process.cpu_seconds - history->last_cpu) / seconds,
        };
        for (unsigned reason = 0; reason < HYPERDERP_DROP_REASONS; reason++)
            sample.drops[reason] = rate(drops_of(&now, reason), drops_of(before, reason), seconds);
        pthread_mutex_lock(&history->lock);
        history->samples[history->next] = sample;
        history->next = (history->next + 1) % HISTORY_SECONDS;
        if (history->count < HISTORY_SECONDS)
            history->count++;
        pthread_mutex_unlock(&history->lock);
    }
    history->last = now;
    history->last_cpu = process.cpu_seconds;
    history->last_ms = now_ms;
}

static void append(json_t *object, const char *name, json_t *value)
{
    json_t *array = json_object_get(object, name);

    if (!array) {
        json_object_set_new(object, name, json_array());
        array = json_object_get(object, name);
    }
    json_array_append_new(array, value);
}

static void append_sample(json_t *object, const struct history_sample *sample)
{
    append(object, "recv_bytes", json_integer((json_int_t)sample->recv_bytes));
    append(object, "send_bytes", json_integer((json_int_t)sample->send_bytes));
    append(object, "packets_in", json_integer((json_int_t)sample->packets_in));
    append(object, "packets_out", json_integer((json_int_t)sample->packets_out));
    append(object, "peers", json_integer((json_int_t)sample->peers));
    append(object, "resident_bytes", json_integer((json_int_t)sample->resident_bytes));
    append(object, "cpu", json_real(sample->cpu_seconds));
    json_t *drops = json_object_get(object, "drops");
    for (unsigned reason = 0; reason < HYPERDERP_DROP_REASONS; reason++)
        append(drops, hyperderp_drop_reason_name((hyperderp_drop_reason)reason),
               json_integer((json_int_t)sample->drops[reason]));
}

json_t *history_json(struct history *history)
{
    struct history_sample *copy = malloc(sizeof(history->samples));
    json_t *object = copy ? json_pack("{s:i, s:{}}", "seconds", HISTORY_SECONDS, "drops") : NULL;

    if (!object) {
        free(copy);
        return NULL;
    }
    pthread_mutex_lock(&history->lock);
    unsigned count = history->count;
    for (unsigned i = 0; i < count; i++)
        copy[i] = history->samples[(history->next + HISTORY_SECONDS - count + i) % HISTORY_SECONDS];
    pthread_mutex_unlock(&history->lock);
    for (unsigned i = 0; i < count; i++)
        append_sample(object, &copy[i]);
    free(copy);
    return object;
}
