/* SPDX-License-Identifier: BSD-3-Clause */
/* An attack as a test: the daemon, the pair, the threads, and what is to hold. */
#include "attack.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "relay_process.h"
#include "storm.h"
#include "traffic.h"

#define MAX_THREADS 8

/* How long the pair is measured without the attack, and how long an attack takes at least. */
#define BEFORE_MS 700
#define ATTACK_US 2000000

/* One that does not get to what it wants to do by then has been starved. */
#define MOST_US 60000000

/* The pair: what a video call takes. */
#define RATE 1000
#define SIZE 1000

/* What the pair must keep. Workers share the relay's one core, so that each of the two that a
 * packet passes through may wait for all others to have had their time. */
#define P99_US(workers) (SANITIZED ? 5000000 : 50000 * (int64_t)(workers))
#define RATE_KEPT       (SANITIZED ? 0.3 : 0.9)
#define BUSY_US         5000000

/* The part of the time that other programs may have had of the cores: beyond that, it is they that
 * are measured. */
#define BUSY_SHARE 10

#define JOIN_US (SANITIZED ? 5000000 : 300000)

/*
 * What the relay may grow by. The bound for all that waits, as configured; receive chunks, 2 MiB a
 * worker; the free frames that are kept, and what malloc() does with what is not. A connection:
 * conn, sink, peer and, with TLS, keys, and the place of each in tables that double. A TLS
 * handshake under way, of which a worker has 512, besides.
 */
#define MEMORY_KIB     32768
#define CHUNKS_KIB     2048
#define KEPT_KIB       8192
#define CONNECTION_KIB 2
#define HANDSHAKE_KIB  64
#define HANDSHAKES     512

/* What it may have kept a while after the end. The pools' free frames, by frame_pool.c 14 MiB for
 * all workers and 2.2 MiB for each, chunks, and pages on which something is still in use. Mostly it
 * is little; then this is waited for no longer. */
#define LEFT_KIB(workers) (14336 + (2304 + CHUNKS_KIB) * (long)(workers) + 2048)
#define LITTLE_KIB        4096
#define AWAIT_US          3000000

/* Each of a pair without the attack, of one during it, and who joins behind it. */
#define INVITED 5

struct siege {
    struct process *relay;
    struct attacker attackers[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    struct pair_figures before, during;
    unsigned files;
    long rss_before, rss_bound;
    int64_t others_us, began, took_us;
    char folder[64], list[96]; /* of keys that are let in, or "" */
};

bool attack_goes_on(const struct attacker *attacker)
{
    int64_t now = now_us();
    uint64_t least = attacker->attack->least / attacker->attack->threads;

    if (attacker->fault)
        return false;
    return now < attacker->until ||
           (attacker->done < least && now < attacker->until + MOST_US - ATTACK_US);
}

bool attack_fault(struct attacker *attacker, const char *fault, int error)
{
    attacker->fault = fault;
    attacker->error = error;
    return false;
}

/* Linux gives each thread a priority of its own. */
static void *run_attacker(void *arg)
{
    struct attacker *attacker = arg;

    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
    attacker->attack->run(attacker);
    return NULL;
}

/* Microseconds of all cores that were neither idle nor this test's or its relay's. */
static int64_t used_by_others(const struct process *relay)
{
    uint64_t user, nice, system, theirs = 0, of_relay[2] = {0};
    char path[64], line[1024];

    FILE *file = fopen("/proc/stat", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "cpu %" SCNu64 " %" SCNu64 " %" SCNu64, &user, &nice, &system),
                     3);
    fclose(file);
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)process_pid(relay));
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    const char *behind_name = strrchr(line, ')');
    assert_non_null(behind_name);
    assert_int_equal(sscanf(behind_name + 2,
                            "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64,
                            &of_relay[0], &of_relay[1]),
                     2);
    struct rusage own;
    assert_int_equal(getrusage(RUSAGE_SELF, &own), 0);
    theirs = (user + nice + system - of_relay[0] - of_relay[1]) * 1000000 /
             (uint64_t)sysconf(_SC_CLK_TCK);
    return (int64_t)theirs - (own.ru_utime.tv_sec + own.ru_stime.tv_sec) * (int64_t)1000000 -
           own.ru_utime.tv_usec - own.ru_stime.tv_usec;
}

/* A list of keys that are let in, in a folder of its own. */
static void invite(struct siege *siege)
{
    static hyperderp_private_key keys[INVITED];
    char text[HYPERDERP_KEY_TEXT_SIZE];
    hyperderp_key key;

    snprintf(siege->folder, sizeof(siege->folder), "/tmp/hyper-derp-attack-XXXXXX");
    assert_non_null(mkdtemp(siege->folder));
    snprintf(siege->list, sizeof(siege->list), "%s/keys", siege->folder);
    FILE *out = fopen(siege->list, "w");
    assert_non_null(out);
    for (unsigned i = 0; i < INVITED; i++) {
        assert_int_equal(hyperderp_private_key_generate(&keys[i]), 0);
        hyperderp_private_key_public(&keys[i], &key);
        hyperderp_key_format(&key, text);
        fprintf(out, "%s\n", text);
    }
    assert_int_equal(fclose(out), 0);
    client_invite(keys, INVITED);
}

static void remove_list(const struct siege *siege)
{
    client_invite(NULL, 0);
    assert_int_equal(unlink(siege->list), 0);
    assert_int_equal(rmdir(siege->folder), 0);
}

/* A pair with nobody beside it, and what the relay has then. */
static void begin_siege(struct siege *siege, const struct attack *attack, const struct cell *cell)
{
    long handshakes = 0;
    char lines[256];

    if (attack->by_list)
        invite(siege);
    assert_true(attack->threads <= MAX_THREADS);
    assert_true(storm_size(attack->connections) == attack->connections);
    snprintf(lines, sizeof(lines), "limits.memory = \"%dKiB\"\naccess.allow_keys_file = \"%s\"",
             MEMORY_KIB, siege->list);
    siege->relay = process_start_with(cell, process_reserve_core(), lines);
    unsigned files = process_files(siege->relay);
    struct pair *pair = pair_start(process_address(siege->relay), RATE, SIZE);
    (void)poll(NULL, 0, BEFORE_MS); /* the time in which it is measured */
    pair_finish(pair, "nobody", &siege->before);
    process_await_files(siege->relay, files);
    siege->files = files;
    siege->rss_before = process_rss_kib(siege->relay);
    if (cell->tls) {
        handshakes = attack->connections;
        if (handshakes > (long)(HANDSHAKES * cell->workers))
            handshakes = HANDSHAKES * (long)cell->workers;
    }
    siege->rss_bound = MEMORY_KIB + CHUNKS_KIB * (long)cell->workers + KEPT_KIB +
                       CONNECTION_KIB * (long)attack->connections + HANDSHAKE_KIB * handshakes;
}

static void lay_siege(struct siege *siege, const struct attack *attack)
{
    struct pair *pair = pair_start(process_address(siege->relay), RATE, SIZE);

    siege->others_us = used_by_others(siege->relay);
    siege->began = now_us();
    for (unsigned i = 0; i < attack->threads; i++) {
        siege->attackers[i] = (struct attacker){.attack = attack,
                                                .address = process_address(siege->relay),
                                                .number = i,
                                                .until = siege->began + ATTACK_US};
        assert_int_equal(
            pthread_create(&siege->threads[i], NULL, run_attacker, &siege->attackers[i]), 0);
    }
    for (unsigned i = 0; i < attack->threads; i++)
        pthread_join(siege->threads[i], NULL);
    siege->took_us = now_us() - siege->began;
    siege->others_us = used_by_others(siege->relay) - siege->others_us;
    pair_finish(pair, attack->name, &siege->during);
}

/* How quickly somebody new gets in behind the attack. */
static int64_t join_behind(const struct siege *siege)
{
    int64_t began = now_us();
    struct client_socket *client = client_join(process_address(siege->relay), NULL);

    client_settle(client);
    client_socket_close(client);
    return now_us() - began;
}

static uint64_t count_done(const struct siege *siege, const struct attack *attack)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < attack->threads; i++) {
        const struct attacker *attacker = &siege->attackers[i];
        if (attacker->fault)
            fail_msg("%s, thread %u, after %" PRIu64 " %s: %s (%s)", attack->name, i,
                     attacker->done, attack->unit, attacker->fault, strerror(-attacker->error));
        sum += attacker->done;
    }
    return sum;
}

/* Waits until the relay has given its memory back: it looks once a second. Returns what it has more
 * than before. */
static long await_memory(const struct siege *siege)
{
    int64_t until = now_us() + AWAIT_US;
    long kept;

    do {
        kept = process_rss_kib(siege->relay) - siege->rss_before;
    } while (!SANITIZED && kept > LITTLE_KIB && now_us() < until && poll(NULL, 0, 10) == 0);
    return kept;
}

void attack_run(const struct attack *attack, void **state)
{
    const struct cell *cell = *state;
    struct siege siege;

    memset(&siege, 0, sizeof(siege));
    begin_siege(&siege, attack, cell);
    lay_siege(&siege, attack);
    uint64_t done = count_done(&siege, attack);
    int64_t joined_us = join_behind(&siege);
    process_await_files(siege.relay, siege.files);
    long grown = process_peak_kib(siege.relay) - siege.rss_before;
    long kept = await_memory(&siege);
    bool busy = siege.others_us * BUSY_SHARE > siege.took_us;
    process_stop(siege.relay);
    print_message(
        "%s: %" PRIu64 " %s in %.1f s; the pair: %.0f of %.0f packets/s, p99 %.1f ms, "
        "before %.1f ms, at most %.1f ms, %u lost; RSS %+.1f MiB of %ld, %+.1f at the end; a "
        "client joined in %.1f ms%s\n",
        attack->name, done, attack->unit, (double)siege.took_us / 1e6, siege.during.rate,
        siege.before.rate, (double)siege.during.p99_us / 1000, (double)siege.before.p99_us / 1000,
        (double)siege.during.max_us / 1000, siege.during.lost, (double)grown / 1024,
        siege.rss_bound / 1024, (double)kept / 1024, (double)joined_us / 1000,
        busy ? "; this machine was too busy to measure the pair" : "");
    assert_true(done >= attack->least);
    if (attack->counted)
        assert_true(process_counter(siege.relay, attack->counted) > 0);
    assert_true(siege.during.p99_us <= (busy ? BUSY_US : P99_US(cell->workers)));
    /* A pair that has no core for a while has packets wait, and there may be no memory for that. */
    assert_true(busy || SANITIZED || siege.during.lost == 0);
    assert_true(busy || siege.during.rate >= siege.before.rate * RATE_KEPT);
    assert_true(joined_us <= (busy ? BUSY_US : JOIN_US));
    if (!SANITIZED) { /* which keep freed memory in quarantine */
        assert_true(grown <= siege.rss_bound);
        assert_true(kept <= LEFT_KIB(cell->workers));
    }
    process_free(siege.relay);
    if (attack->by_list)
        remove_list(&siege);
}
