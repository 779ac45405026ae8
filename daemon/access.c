/* SPDX-License-Identifier: BSD-3-Clause */
/* Asking the list and the verifier, and taking access away. */
#include "access.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hyperderp/counters.h>

#include "allow_list.h"
#include "log.h"
#include "verify_questions.h"

/* After a change the clients are looked through at so many ticks: one that was let in a moment
 * before may not have been among them yet. */
#define LOOKS 2

/* Of the clients that are here, so many are asked about in a second, and only while few others
 * wait: who comes anew goes first. */
#define ASK_AGAIN 256

struct access {
    /* Guarded by lock, a leaf. */
    pthread_mutex_t lock;
    struct allow_list list;
    bool has_list;
    struct verify *verify; /* NULL until it is wanted; then it stays */

    hyperderp_relay *relay; /* fixed by access_watch() */

    _Atomic uint64_t refused[ACCESS_REASONS], closed[ACCESS_REASONS], unasked;

    /* The main thread's. */
    unsigned looks;                /* still to come */
    struct verify_question *again; /* about clients that are here */
    size_t again_count, again_at;
};

struct access_change {
    struct allow_list list;
    bool has_list;
    struct verify_settings *settings;
    struct verify *verify; /* NULL: the one that there is, or none */
};

static const char *const names[ACCESS_REASONS] = {
    [ACCESS_ALLOW_KEYS] = "allow_keys",
    [ACCESS_TAILSCALED] = "tailscaled",
    [ACCESS_TAILSCALED_FAILED] = "tailscaled_failed",
    [ACCESS_VERIFY_URL] = "verify_url",
    [ACCESS_VERIFY_URL_FAILED] = "verify_url_failed",
    [ACCESS_TIMEOUT] = "timeout",
    [ACCESS_OVERLOAD] = "overload",
    [ACCESS_STOPPING] = "stopping",
};

/* Long enough that the log, which limits lines that begin alike, does not see the keys. */
static const char *const words[ACCESS_REASONS] = {
    [ACCESS_ALLOW_KEYS] = "it is not in access.allow_keys_file",
    [ACCESS_TAILSCALED] = "the local tailscaled does not know it",
    [ACCESS_TAILSCALED_FAILED] = "the local tailscaled cannot be asked",
    [ACCESS_VERIFY_URL] = "access.verify_client_url said no",
    [ACCESS_VERIFY_URL_FAILED] = "access.verify_client_url failed",
    [ACCESS_TIMEOUT] = "no answer within access.verify_timeout",
    [ACCESS_OVERLOAD] = "too many clients are asked about at once",
    [ACCESS_STOPPING] = "the daemon ends, and nobody is asked",
};

/* What a client is told, where somebody has said no to it: then its user can do something about
 * that. Where nobody could be asked it is closed without a word, and tries again. */
static const char *const told[ACCESS_REASONS] = {
    [ACCESS_ALLOW_KEYS] = "This machine's node key is not on the list of this DERP relay. Whoever "
                          "runs the relay can add it.",
    [ACCESS_TAILSCALED] = "This DERP relay serves the machines of its own tailnet, and does not "
                          "know this one.",
    [ACCESS_VERIFY_URL] = "This DERP relay may not be used by this machine: whoever runs it has "
                          "not let it in.",
};

const char *access_reason_name(enum access_reason reason)
{
    return names[reason];
}

/* ---- One client ---- */

static void tell(const char *what, const char *why, const struct verify_question *client,
                 const char *detail)
{
    char key[HYPERDERP_KEY_TEXT_SIZE];

    hyperderp_key_format(&client->key, key);
    log_limited(HYPERDERP_LOG_INFO, "access: %s, %s: %s from %s%s%s", what, why, key,
                client->address, *detail ? ": " : "", detail);
}

struct ruling {
    hyperderp_verdict verdict;
    const char *told; /* to a client that is denied, or NULL */
};

static const struct ruling allowed = {.verdict = HYPERDERP_ALLOW};

static struct ruling refuse(struct access *access, const struct verify_question *client,
                            enum access_reason reason, const char *detail)
{
    access->refused[reason]++;
    tell("client refused", words[reason], client, detail);
    return (struct ruling){.verdict = HYPERDERP_DENY, .told = told[reason]};
}

static struct ruling judge(struct access *access, const struct verify_question *client,
                           enum verify_result result, const char *detail)
{
    switch (result) {
    case VERIFY_ALLOWED:
        return allowed;
    case VERIFY_ALLOWED_UNASKED:
        access->unasked++;
        tell("client let in unasked", "access.verify_client_url does not answer", client, detail);
        return allowed;
    case VERIFY_TAILSCALED_DENIED:
        return refuse(access, client, ACCESS_TAILSCALED, "");
    case VERIFY_TAILSCALED_FAILED:
        return refuse(access, client, ACCESS_TAILSCALED_FAILED, detail);
    case VERIFY_URL_DENIED:
        return refuse(access, client, ACCESS_VERIFY_URL, "");
    case VERIFY_URL_FAILED:
        return refuse(access, client, ACCESS_VERIFY_URL_FAILED, detail);
    case VERIFY_TIMEOUT:
        return refuse(access, client, ACCESS_TIMEOUT, detail);
    case VERIFY_OVERLOAD:
        return refuse(access, client, ACCESS_OVERLOAD, detail);
    case VERIFY_STOPPED:
        break;
    }
    return refuse(access, client, ACCESS_STOPPING, "");
}

static bool is_listed(struct access *access, const hyperderp_key *key)
{
    pthread_mutex_lock(&access->lock);
    bool listed = !access->has_list || allow_list_has(&access->list, key);
    pthread_mutex_unlock(&access->lock);
    return listed;
}

static struct verify *verifier(struct access *access)
{
    pthread_mutex_lock(&access->lock);
    struct verify *verify = access->verify;
    pthread_mutex_unlock(&access->lock);
    return verify;
}

static void close_client(struct access *access, const struct verify_question *client,
                         enum access_reason reason)
{
    if (hyperderp_relay_close_peer(access->relay, &client->key) != 0)
        return; /* it has left */
    access->closed[reason]++;
    tell("client closed", words[reason], client, "");
}

/* The answer about a client that is here: only a no closes it, not that nobody could be asked. */
static void judge_again(struct access *access, const struct verify_question *client,
                        enum verify_result result)
{
    if (result == VERIFY_TAILSCALED_DENIED)
        close_client(access, client, ACCESS_TAILSCALED);
    else if (result == VERIFY_URL_DENIED)
        close_client(access, client, ACCESS_VERIFY_URL);
}

static void answer(void *user, const struct verify_question *question, enum verify_result result,
                   const char *detail)
{
    struct access *access = user;

    if (!question->ticket) {
        judge_again(access, question, result);
        return;
    }
    struct ruling ruling = judge(access, question, result, detail);
    /* The list may have changed while the others were asked. */
    if (ruling.verdict == HYPERDERP_ALLOW && !is_listed(access, &question->key))
        ruling = refuse(access, question, ACCESS_ALLOW_KEYS, "");
    if (ruling.told)
        hyperderp_admission_deny(question->ticket, ruling.told);
    else
        hyperderp_admission_answer(question->ticket, ruling.verdict);
}

static void name_client(struct verify_question *question, const hyperderp_key *key,
                        const char *address)
{
    *question = (struct verify_question){.key = *key};
    snprintf(question->address, sizeof(question->address), "%s", address);
}

/* The answer where it is known at once. */
static hyperderp_verdict give(struct ruling ruling, hyperderp_admission *ticket)
{
    if (!ruling.told)
        return ruling.verdict;
    hyperderp_admission_deny(ticket, ruling.told);
    return HYPERDERP_LATER;
}

hyperderp_verdict access_admit(void *user, const hyperderp_client_info *client,
                               hyperderp_admission *ticket)
{
    struct access *access = user;
    struct verify_question question;
    enum verify_result result = VERIFY_ALLOWED;

    name_client(&question, &client->key, client->address);
    question.ticket = ticket;
    if (!is_listed(access, &client->key))
        return give(refuse(access, &question, ACCESS_ALLOW_KEYS, ""), ticket);
    struct verify *verify = verifier(access);
    if (verify && !verify_ask(verify, &question, &result))
        return HYPERDERP_LATER;
    return give(judge(access, &question, result, ""), ticket);
}

/* ---- Clients that are here ---- */

/* Calls do_it() for each but mesh partners. */
static void for_each_client(struct access *access,
                            void (*do_it)(struct access *, const struct verify_question *))
{
    hyperderp_peer_info *peers = NULL;
    struct verify_question client;
    size_t count = 0;

    if (hyperderp_relay_peers(access->relay, &peers, &count) != 0)
        log_print(HYPERDERP_LOG_ERROR, "access: no memory to look through the clients");
    for (size_t i = 0; i < count; i++) {
        if (peers[i].mesh)
            continue;
        name_client(&client, &peers[i].key, peers[i].address);
        do_it(access, &client);
    }
    hyperderp_peers_free(peers);
}

static void close_unlisted(struct access *access, const struct verify_question *client)
{
    if (!is_listed(access, &client->key))
        close_client(access, client, ACCESS_ALLOW_KEYS);
}

static void note_again(struct access *access, const struct verify_question *client)
{
    size_t count = access->again_count;

    if ((count & (count - 1)) == 0) { /* full, as it has a power of two */
        struct verify_question *grown =
            reallocarray(access->again, count ? count * 2 : 1, sizeof(*grown));
        if (!grown)
            return; /* it stays until the next reload */
        access->again = grown;
    }
    access->again[access->again_count++] = *client;
}

static void look_through(struct access *access)
{
    struct verify *verify = verifier(access);

    if (!access->has_list && !verify)
        return; /* all may be here; the list of them would take 250 bytes a client */
    for_each_client(access, close_unlisted);
    if (access->looks > 0 || !verify)
        return;
    access->again_count = access->again_at = 0;
    for_each_client(access, note_again);
}

static void ask_again(struct access *access, struct verify *verify)
{
    struct verify_figures figures;
    enum verify_result result;

    verify_read(verify, &figures);
    for (uint64_t n = figures.waiting; n < ASK_AGAIN && access->again_at < access->again_count;
         n++) {
        const struct verify_question *question = &access->again[access->again_at++];
        if (verify_ask(verify, question, &result))
            judge_again(access, question, result);
    }
    if (access->again_at < access->again_count)
        return;
    free(access->again);
    access->again = NULL;
    access->again_count = access->again_at = 0;
}

void access_tick(struct access *access)
{
    if (access->looks > 0) {
        access->looks--;
        look_through(access);
    }
    if (access->again)
        ask_again(access, access->verify);
}

/* ---- Changing ---- */

static int read_list(struct allow_list *list, const struct config_access *config,
                     struct problems *problems)
{
    *list = (struct allow_list){0};
    return *config->allow_keys_file ? allow_list_read(list, config->allow_keys_file, problems) : 0;
}

int access_check(const struct config_access *config, struct problems *problems)
{
    struct allow_list list;
    int error = read_list(&list, config, problems);

    allow_list_free(&list);
    return error;
}

static int prepare_verify(const struct access *access, struct access_change *change,
                          const struct config_access *config)
{
    if (!access->verify && verify_is_wanted(config))
        return verify_start(&change->verify, config, answer, (void *)(uintptr_t)access);
    change->settings = verify_settings_new(config);
    return change->settings ? 0 : -ENOMEM;
}

int access_prepare(const struct access *access, struct access_change **out,
                   const struct config_access *config, struct problems *problems)
{
    struct access_change *change = calloc(1, sizeof(*change));

    *out = NULL;
    if (!change)
        return -ENOMEM;
    change->has_list = *config->allow_keys_file != '\0';
    int error = read_list(&change->list, config, problems);
    if (error == 0)
        error = prepare_verify(access, change, config);
    if (error) {
        access_drop(change);
        return error;
    }
    *out = change;
    return 0;
}

void access_drop(struct access_change *change)
{
    if (!change)
        return;
    allow_list_free(&change->list);
    verify_settings_unref(change->settings);
    verify_stop(change->verify);
    free(change);
}

void access_commit(struct access *access, struct access_change *change)
{
    struct allow_list old;

    pthread_mutex_lock(&access->lock);
    old = access->list;
    access->list = change->list;
    access->has_list = change->has_list;
    if (change->verify)
        access->verify = change->verify;
    pthread_mutex_unlock(&access->lock);
    if (access->verify && change->settings)
        verify_set(access->verify, change->settings);
    else
        verify_settings_unref(change->settings);
    allow_list_free(&old);
    free(change);
    if (!access->relay)
        return; /* it has not begun: nobody is here who had been let in by another list */
    access->looks = LOOKS;
    look_through(access);
}

void access_watch(struct access *access, hyperderp_relay *relay)
{
    access->relay = relay;
}

/* ---- Beginning and end ---- */

struct access *access_new(void)
{
    struct access *access = calloc(1, sizeof(*access));

    if (access)
        pthread_mutex_init(&access->lock, NULL);
    return access;
}

void access_free(struct access *access)
{
    if (!access)
        return;
    verify_stop(access->verify);
    allow_list_free(&access->list);
    free(access->again);
    pthread_mutex_destroy(&access->lock);
    free(access);
}

void access_read(struct access *access, struct access_figures *out)
{
    *out = (struct access_figures){0};
    if (!access)
        return;
    for (unsigned i = 0; i < ACCESS_REASONS; i++) {
        out->refused[i] = access->refused[i];
        out->closed[i] = access->closed[i];
    }
    out->unasked = access->unasked;
    pthread_mutex_lock(&access->lock);
    out->listed = access->list.count;
    pthread_mutex_unlock(&access->lock);
    struct verify *verify = verifier(access);
    if (verify)
        verify_read(verify, &out->verify);
}
