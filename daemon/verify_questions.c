/* SPDX-License-Identifier: BSD-3-Clause */
/* A queue, and a table with chains. */
#include "verify_questions.h"

#include <stdlib.h>
#include <string.h>

void questions_init(struct questions *questions)
{
    *questions = (struct questions){0};
    questions->tail = &questions->head;
}

/* Not keyed: there are never more questions than four to a bucket, or who chooses his keys makes a
 * walk through some thousand, which is no harm. */
static struct question **bucket_of(struct questions *questions, const hyperderp_key *key)
{
    uint32_t hash;

    memcpy(&hash, key->bytes + 8, sizeof(hash));
    return &questions->buckets[hash % QUESTION_BUCKETS];
}

void questions_push(struct questions *questions, struct question *question)
{
    struct question **bucket = bucket_of(questions, &question->what.key);

    question->next = NULL;
    *questions->tail = question;
    questions->tail = &question->next;
    questions->waiting++;
    question->chain = *bucket;
    *bucket = question;
}

struct question *questions_pop(struct questions *questions)
{
    struct question *question = questions->head;

    if (!question)
        return NULL;
    questions->head = question->next;
    if (!questions->head)
        questions->tail = &questions->head;
    questions->waiting--;
    question->next = NULL;
    return question;
}

struct question *questions_find(struct questions *questions, const hyperderp_key *key,
                                const char *source, const struct verify_settings *settings)
{
    struct question *question = *bucket_of(questions, key);

    while (question &&
           (question->settings != settings || !hyperderp_key_equal(&question->what.key, key) ||
            strcmp(question->source, source) != 0))
        question = question->chain;
    return question;
}

void questions_remove(struct questions *questions, struct question *question)
{
    struct question **at = bucket_of(questions, &question->what.key);

    while (*at != question)
        at = &(*at)->chain;
    *at = question->chain;
}

struct verify_settings *verify_settings_new(const struct config_access *access)
{
    struct verify_settings *settings = calloc(1, sizeof(*settings));

    if (!settings)
        return NULL;
    settings->refs = 1;
    settings->url = strdup(access->verify_client_url);
    settings->socket = strdup(access->tailscaled_socket);
    settings->fail_open = access->verify_client_url_fail_open;
    settings->timeout_ms = (int64_t)access->verify_timeout_ms;
    if (settings->url && settings->socket)
        return settings;
    verify_settings_unref(settings);
    return NULL;
}

void verify_settings_unref(struct verify_settings *settings)
{
    if (!settings || --settings->refs > 0)
        return;
    free(settings->url);
    free(settings->socket);
    free(settings);
}
