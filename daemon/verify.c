/* SPDX-License-Identifier: BSD-3-Clause */
/* The thread that asks. */
#include "verify.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "curl_library.h"
#include "verdicts.h"
#include "verify_questions.h"

/* How long the thread sleeps when nothing is due; it is woken for what comes. */
#define SLEEP_MS 60000

struct verify {
    /* Fixed. */
    verify_answer_fn *answer;
    void *user;
    CURLM *multi; /* its thread's, but for curl_multi_wakeup() */
    pthread_t thread;

    /* Guarded by lock, a leaf. */
    pthread_mutex_t lock;
    struct verify_settings *settings; /* for questions to come */
    struct questions questions;
    struct verdicts *verdicts;
    struct verify_figures figures;
    bool stop;

    /* The thread's. */
    struct question *asked;
    unsigned asked_count;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void verify_source(const char *address, char out[64])
{
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;

    if (len > 2 && address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    }
    if (len >= 64)
        len = 0;
    memcpy(out, address, len);
    out[len] = '\0';
}

bool verify_is_wanted(const struct config_access *access)
{
    return *access->verify_client_url || *access->tailscaled_socket;
}

void verify_set(struct verify *verify, struct verify_settings *settings)
{
    pthread_mutex_lock(&verify->lock);
    verify_settings_unref(verify->settings);
    verify->settings = settings;
    verdicts_clear(verify->verdicts);
    pthread_mutex_unlock(&verify->lock);
}

/* ---- Asking ---- */

static bool asks_anyone(const struct verify_settings *settings)
{
    return *settings->url || *settings->socket;
}

/* What becomes of a client about whom the URL cannot be asked. With tailscaled there is no such
 * mercy: without its word nobody is let in. */
static enum verify_result unasked(const struct verify_settings *settings, bool of_url,
                                  enum verify_result why)
{
    return of_url && settings->fail_open ? VERIFY_ALLOWED_UNASKED : why;
}

/* Needs the lock. */
static bool enqueue(struct verify *verify, const struct verify_question *what, const char *source)
{
    struct questions *questions = &verify->questions;
    struct question *question = NULL;

    if (questions->all < VERIFY_WAITING + VERIFY_AT_ONCE && !verify->stop)
        question = calloc(1, sizeof(*question));
    if (!question)
        return false;
    questions->all++;
    question->what = *what;
    struct question *same = questions_find(questions, &what->key, source, verify->settings);
    if (same) {
        question->also = same->also;
        same->also = question;
        return true;
    }
    memcpy(question->source, source, sizeof(question->source));
    question->settings = verify->settings;
    question->settings->refs++;
    question->deadline = now_ms() + question->settings->timeout_ms;
    questions_push(questions, question);
    return true;
}

/* Needs the lock. Tells an answer that there is at once, or none (-1). */
static int answer_at_once(struct verify *verify, const struct verify_question *question,
                          const char *source)
{
    if (!asks_anyone(verify->settings))
        return VERIFY_ALLOWED;
    int known = verdicts_find(verify->verdicts, &question->key, source, now_ms());
    if (known >= 0) {
        verify->figures.remembered++;
        return known;
    }
    if (enqueue(verify, question, source))
        return -1;
    return (int)unasked(verify->settings, !*verify->settings->socket, VERIFY_OVERLOAD);
}

bool verify_ask(struct verify *verify, const struct verify_question *question,
                enum verify_result *result)
{
    char source[64] = "";

    verify_source(question->address, source);
    pthread_mutex_lock(&verify->lock);
    int known = answer_at_once(verify, question, source);
    pthread_mutex_unlock(&verify->lock);
    if (known < 0)
        curl.multi_wakeup(verify->multi);
    else
        *result = (enum verify_result)known;
    return known >= 0;
}

void verify_read(struct verify *verify, struct verify_figures *out)
{
    pthread_mutex_lock(&verify->lock);
    *out = verify->figures;
    out->waiting = verify->questions.waiting;
    pthread_mutex_unlock(&verify->lock);
}

/* ---- The thread: one question ---- */

/* Needs the lock. Only what was said is remembered, not that nothing was. */
static void remember(struct verify *verify, const struct question *question,
                     enum verify_result result)
{
    bool denied = result == VERIFY_TAILSCALED_DENIED || result == VERIFY_URL_DENIED;

    if (result == VERIFY_ALLOWED || denied)
        verdicts_put(verify->verdicts, &question->what.key, question->source, (int)result,
                     now_ms() + (denied ? VERIFY_DENIED_MS : VERIFY_ALLOWED_MS));
}

/* Needs the lock. A question that was asked by settings of before waits again, for the answer by
 * those of now: nobody is let in by what a reload has taken away. */
static void push_again(struct verify *verify, struct question *question)
{
    verify_settings_unref(question->settings);
    question->settings = verify->settings;
    question->settings->refs++;
    question->deadline = now_ms() + question->settings->timeout_ms;
    questions_push(&verify->questions, question);
}

/* Answers a question, which is in no list any more, and frees it. */
static void settle(struct verify *verify, struct question *question, enum verify_result result,
                   const char *detail)
{
    if (question->query)
        query_end(question->query);
    free(question->query);
    question->query = NULL;
    pthread_mutex_lock(&verify->lock);
    questions_remove(&verify->questions, question);
    bool again = question->settings != verify->settings && !verify->stop;
    if (again) {
        push_again(verify, question);
    } else {
        remember(verify, question, result);
        verify_settings_unref(question->settings);
        for (struct question *one = question; one; one = one->also)
            verify->questions.all--;
    }
    pthread_mutex_unlock(&verify->lock);
    for (struct question *one = again ? NULL : question, *also; one; one = also) {
        also = one->also;
        verify->answer(verify->user, &one->what, result, detail);
        free(one);
    }
}

static void count(struct verify *verify, uint64_t *figure, uint64_t by)
{
    pthread_mutex_lock(&verify->lock);
    *figure += by;
    pthread_mutex_unlock(&verify->lock);
}

/* Begins to ask tailscaled or, with url, the URL. False without memory. */
static bool begin(struct verify *verify, struct question *question, bool url)
{
    const struct verify_settings *settings = question->settings;
    int64_t left = question->deadline - now_ms();
    long timeout = left > 0 ? (long)left : 1; /* 0 would be none */
    const hyperderp_key *key = &question->what.key;

    if (!question->query)
        question->query = calloc(1, sizeof(*question->query));
    if (!question->query)
        return false;
    int error = url ? query_url(question->query, settings->url, key, question->source, timeout)
                    : query_tailscaled(question->query, settings->socket, key, timeout);
    if (error)
        return false;
    curl.easy_setopt(question->query->easy, CURLOPT_PRIVATE, question);
    if (curl.multi_add_handle(verify->multi, question->query->easy) != CURLM_OK)
        return false;
    count(verify, url ? &verify->figures.to_url : &verify->figures.to_tailscaled, 1);
    return true;
}

static void ask(struct verify *verify, struct question *question)
{
    if (!begin(verify, question, !*question->settings->socket)) {
        settle(verify, question, VERIFY_OVERLOAD, "no memory");
        return;
    }
    question->next = verify->asked;
    verify->asked = question;
    verify->asked_count++;
    count(verify, &verify->figures.asking, 1);
}

/* Takes a question off those that are asked. */
static void forget(struct verify *verify, struct question *question)
{
    struct question **at = &verify->asked;

    while (*at != question)
        at = &(*at)->next;
    *at = question->next;
    verify->asked_count--;
    count(verify, &verify->figures.asking, (uint64_t)-1);
    curl.multi_remove_handle(verify->multi, question->query->easy);
}

static enum verify_result judge(const struct question *question, enum query_result said)
{
    bool url = !question->query->to_tailscaled;

    switch (said) {
    case QUERY_YES:
        return VERIFY_ALLOWED;
    case QUERY_NO:
        return url ? VERIFY_URL_DENIED : VERIFY_TAILSCALED_DENIED;
    case QUERY_LATE:
        return unasked(question->settings, url, VERIFY_TIMEOUT);
    case QUERY_SILENT:
        return unasked(question->settings, url, url ? VERIFY_URL_FAILED : VERIFY_TAILSCALED_FAILED);
    case QUERY_UNCLEAR:
        break; /* as with derper: an answer, and not a yes */
    }
    return url ? VERIFY_URL_FAILED : VERIFY_TAILSCALED_FAILED;
}

static void answered(struct verify *verify, struct question *question, CURLcode code)
{
    char detail[QUERY_DETAIL_SIZE];
    enum query_result said = query_judge(question->query, code, detail);
    enum verify_result result = judge(question, said);

    if (result == VERIFY_ALLOWED && question->query->to_tailscaled && *question->settings->url) {
        curl.multi_remove_handle(verify->multi, question->query->easy);
        query_end(question->query);
        if (begin(verify, question, true))
            return;
        result = VERIFY_OVERLOAD;
    }
    forget(verify, question);
    settle(verify, question, result, detail);
}

/* ---- The thread: all of them ---- */

static void take_answers(struct verify *verify)
{
    CURLMsg *message;
    int left;

    while ((message = curl.multi_info_read(verify->multi, &left))) {
        void *question = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &question);
        answered(verify, question, code);
    }
}

/* The next that waits, if it is due or may be asked. */
static struct question *next_waiting(struct verify *verify, int64_t now)
{
    struct questions *questions = &verify->questions;

    pthread_mutex_lock(&verify->lock);
    bool due = questions->head && questions->head->deadline <= now;
    struct question *question =
        due || verify->asked_count < VERIFY_AT_ONCE ? questions_pop(questions) : NULL;
    pthread_mutex_unlock(&verify->lock);
    return question;
}

/* Asks as many as may be asked at once. Who has waited too long is not asked about. */
static void take_questions(struct verify *verify)
{
    struct question *question;
    int64_t now = now_ms();

    while ((question = next_waiting(verify, now))) {
        const struct verify_settings *settings = question->settings;
        if (!asks_anyone(settings))
            settle(verify, question, VERIFY_ALLOWED, "");
        else if (question->deadline > now)
            ask(verify, question);
        else
            settle(verify, question, unasked(settings, !*settings->socket, VERIFY_TIMEOUT),
                   "too many questions at once");
    }
}

static int time_to_sleep(struct verify *verify)
{
    int64_t left = SLEEP_MS;

    /* By settings of a reload another one may be due sooner: it waits a little longer. */
    pthread_mutex_lock(&verify->lock);
    if (verify->questions.head)
        left = verify->questions.head->deadline - now_ms();
    pthread_mutex_unlock(&verify->lock);
    return left < 0 ? 0 : left > SLEEP_MS ? SLEEP_MS : (int)left;
}

static bool is_stopping(struct verify *verify)
{
    pthread_mutex_lock(&verify->lock);
    bool stop = verify->stop;
    pthread_mutex_unlock(&verify->lock);
    return stop;
}

static void refuse_all(struct verify *verify)
{
    struct question *question;

    while ((question = verify->asked)) {
        forget(verify, question);
        settle(verify, question, VERIFY_STOPPED, "");
    }
    for (;;) {
        pthread_mutex_lock(&verify->lock);
        question = questions_pop(&verify->questions);
        pthread_mutex_unlock(&verify->lock);
        if (!question)
            return;
        settle(verify, question, VERIFY_STOPPED, "");
    }
}

static void *run(void *arg)
{
    struct verify *verify = arg;
    int running;

    pthread_setname_np(pthread_self(), "verify");
    while (!is_stopping(verify)) {
        take_questions(verify);
        curl.multi_perform(verify->multi, &running);
        take_answers(verify);
        take_questions(verify); /* what has become free is used at once */
        curl.multi_poll(verify->multi, NULL, 0, time_to_sleep(verify), NULL);
    }
    refuse_all(verify);
    return NULL;
}

/* ---- Beginning and end ---- */

static void free_all(struct verify *verify)
{
    verify_settings_unref(verify->settings);
    verdicts_free(verify->verdicts);
    curl.multi_cleanup(verify->multi);
    pthread_mutex_destroy(&verify->lock);
    free(verify);
    curl.global_cleanup();
}

int verify_start(struct verify **out, const struct config_access *access, verify_answer_fn *answer,
                 void *user)
{
    *out = NULL;
    int missing = curl_library_load();
    if (missing)
        return missing;
    if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -ENOMEM;
    struct verify *verify = calloc(1, sizeof(*verify));
    if (!verify) {
        curl.global_cleanup();
        return -ENOMEM;
    }
    pthread_mutex_init(&verify->lock, NULL);
    questions_init(&verify->questions);
    verify->answer = answer;
    verify->user = user;
    verify->settings = verify_settings_new(access);
    verify->verdicts = verdicts_new();
    verify->multi = curl.multi_init();
    int error = verify->settings && verify->verdicts && verify->multi ? 0 : -ENOMEM;
    if (error == 0)
        error = -pthread_create(&verify->thread, NULL, run, verify);
    if (error) {
        free_all(verify);
        return error;
    }
    *out = verify;
    return 0;
}

void verify_stop(struct verify *verify)
{
    if (!verify)
        return;
    pthread_mutex_lock(&verify->lock);
    verify->stop = true;
    pthread_mutex_unlock(&verify->lock);
    curl.multi_wakeup(verify->multi);
    pthread_join(verify->thread, NULL);
    free_all(verify);
}
