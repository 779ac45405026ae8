/* SPDX-License-Identifier: BSD-3-Clause */
/* Questions about clients: what is sent, what an answer means, how many at once, and what becomes
 * of a question whose answer does not come. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "http_server.h"
#include "verify.h"
#include "verify_questions.h"

#define YES "{\"Allow\":true}"
#define NO  "{\"Allow\":false}"

/* Longer than anything takes; where an answer shall not come, a test sets less. */
#define LONG_MS  8000
#define SHORT_MS 200

static struct http_server url, tailscaled;
static struct verify *verify;

/* What was answered, by result, and the last of all. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count, by[VERIFY_RESULTS];
    enum verify_result last;
    char detail[256];
} answers = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void note_answer(void *user, const struct verify_question *question,
                        enum verify_result result, const char *detail)
{
    (void)user;
    (void)question;
    pthread_mutex_lock(&answers.lock);
    answers.count++;
    answers.by[result]++;
    answers.last = result;
    snprintf(answers.detail, sizeof(answers.detail), "%s", detail);
    pthread_cond_broadcast(&answers.changed);
    pthread_mutex_unlock(&answers.lock);
}

static void wait_answers(unsigned count)
{
    struct timespec until;
    int error = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&answers.lock);
    while (answers.count < count && error == 0)
        error = pthread_cond_timedwait(&answers.changed, &answers.lock, &until);
    assert_int_equal(answers.count, count);
    pthread_mutex_unlock(&answers.lock);
}

static struct config_access config(bool with_tailscaled, bool with_url, bool fail_open,
                                   unsigned timeout_ms)
{
    return (struct config_access){.allow_keys_file = "",
                                  .tailscaled_socket = with_tailscaled ? tailscaled.socket : "",
                                  .verify_client_url = with_url ? url.url : "",
                                  .verify_client_url_fail_open = fail_open,
                                  .verify_timeout_ms = timeout_ms};
}

static int set_up(void **state)
{
    (void)state;
    http_server_start(&url, false, YES);
    http_server_start(&tailscaled, true, "{}");
    memset(answers.by, 0, sizeof(answers.by));
    answers.count = 0;
    verify = NULL;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    verify_stop(verify);
    http_server_stop(&url);
    http_server_stop(&tailscaled);
    return 0;
}

static void start(struct config_access access)
{
    verify_stop(verify);
    assert_int_equal(verify_start(&verify, &access, note_answer, NULL), 0);
}

static void change(struct config_access access)
{
    struct verify_settings *settings = verify_settings_new(&access);

    assert_non_null(settings);
    verify_set(verify, settings);
}

static struct verify_question about(unsigned number)
{
    struct verify_question question = {.address = "192.0.2.7:4242"};

    memcpy(question.key.bytes, &number, sizeof(number));
    return question;
}

static bool ask(unsigned number, enum verify_result *result)
{
    struct verify_question question = about(number);

    return verify_ask(verify, &question, result);
}

/* Asks, waits, and returns the answer, which must not be known before. */
static enum verify_result answer_to(unsigned number)
{
    enum verify_result result;
    unsigned before = answers.count;

    assert_false(ask(number, &result));
    wait_answers(before + 1);
    return answers.last;
}

static void the_url_is_asked_as_derper_asks(void **state)
{
    enum verify_result result = VERIFY_STOPPED;
    struct verify_figures figures;

    (void)state;
    start(config(false, true, true, LONG_MS));
    assert_int_equal(answer_to(0x2a), VERIFY_ALLOWED);
    assert_string_equal(url.method, "POST");
    assert_string_equal(url.path, "/verify");
    assert_string_equal(url.type, "application/json");
    assert_string_equal(url.request,
                        "{\"NodePublic\":\"nodekey:2a0000000000000000000000000000000000000000000000"
                        "0000000000000000\",\"Source\":\"192.0.2.7\"}");
    /* The verdict is remembered, for the key and the address. */
    assert_true(ask(0x2a, &result));
    assert_int_equal(result, VERIFY_ALLOWED);
    struct verify_question elsewhere = about(0x2a);
    strcpy(elsewhere.address, "[2001:db8::1]:4242");
    assert_false(verify_ask(verify, &elsewhere, &result));
    wait_answers(2);
    assert_non_null(strstr(url.request, "\"Source\":\"2001:db8::1\""));
    verify_read(verify, &figures);
    assert_int_equal(figures.to_url, 2);
    assert_int_equal(figures.to_tailscaled, 0);
    assert_int_equal(figures.remembered, 1);
    assert_int_equal(figures.asking, 0);
    assert_int_equal(figures.waiting, 0);
}

static const char *long_text(void)
{
    static char text[QUERY_ANSWER_SIZE + 100];

    memset(text, ' ', sizeof(text));
    strcpy(text + sizeof(text) - sizeof(YES), YES);
    return text;
}

static void answers_of_the_url(void **state)
{
    (void)state;
    const struct {
        unsigned status;
        const char *body;
        enum verify_result result;
    } cases[] = {
        {200, YES, VERIFY_ALLOWED},
        {200, " {\"allow\": true, \"more\": [1]}\nand so on", VERIFY_ALLOWED},
        {200, NO, VERIFY_URL_DENIED},
        {200, "{}", VERIFY_URL_DENIED},
        {200, "{\"Allow\":null}", VERIFY_URL_DENIED},
        {200, "{\"Allow\":1}", VERIFY_URL_FAILED},
        {200, "{\"Allow\":\"true\"}", VERIFY_URL_FAILED},
        {200, "true", VERIFY_URL_FAILED},
        {200, "", VERIFY_URL_FAILED},
        {200, "{\"Allow\":true", VERIFY_URL_FAILED},
        {200, long_text(), VERIFY_URL_FAILED},
        {201, YES, VERIFY_URL_FAILED},
        {403, YES, VERIFY_URL_FAILED},
        {404, YES, VERIFY_URL_FAILED},
        {500, YES, VERIFY_URL_FAILED},
        {503, "", VERIFY_URL_FAILED},
    };

    /* An answer that is no yes lets nobody in, also where it fails open. */
    for (unsigned open = 0; open < 2; open++) {
        start(config(false, true, open, LONG_MS));
        for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            http_server_say(&url, cases[i].status, cases[i].body);
            assert_int_equal(answer_to(i), cases[i].result);
        }
    }
}

static void expect_silence(bool with_tailscaled, enum verify_result open, enum verify_result closed)
{
    start(config(with_tailscaled, true, true, SHORT_MS));
    assert_int_equal(answer_to(1), open);
    assert_true(*answers.detail);
    start(config(with_tailscaled, true, false, SHORT_MS));
    assert_int_equal(answer_to(1), closed);
    assert_true(*answers.detail);
}

static void a_url_that_does_not_answer(void **state)
{
    (void)state;
    http_server_behave(&url, HTTP_HANGS_UP);
    expect_silence(false, VERIFY_ALLOWED_UNASKED, VERIFY_URL_FAILED);
    expect_silence(true, VERIFY_ALLOWED_UNASKED, VERIFY_URL_FAILED);
    http_server_say(&url, 200, YES);
    http_server_gate(&url, true);
    expect_silence(false, VERIFY_ALLOWED_UNASKED, VERIFY_TIMEOUT);
    expect_silence(true, VERIFY_ALLOWED_UNASKED, VERIFY_TIMEOUT);
    /* Of an answer that has begun, nothing is taken for a yes. */
    http_server_behave(&url, HTTP_BREAKS);
    expect_silence(false, VERIFY_URL_FAILED, VERIFY_URL_FAILED);
    http_server_gate(&url, false);
    expect_silence(false, VERIFY_URL_FAILED, VERIFY_URL_FAILED);
    /* Nothing of that is remembered. */
    http_server_say(&url, 200, YES);
    assert_int_equal(answer_to(1), VERIFY_ALLOWED);
    snprintf(url.url, sizeof(url.url), "http://127.0.0.1:1/"); /* nobody listens there */
    expect_silence(false, VERIFY_ALLOWED_UNASKED, VERIFY_URL_FAILED);
}

static void tailscaled_is_asked_over_its_socket(void **state)
{
    (void)state;
    start(config(true, false, true, LONG_MS));
    assert_int_equal(answer_to(0x2a), VERIFY_ALLOWED);
    assert_string_equal(tailscaled.method, "GET");
    assert_string_equal(tailscaled.path,
                        "/localapi/v0/whois?addr=nodekey:2a0000000000000000000000000000000000000000"
                        "0000000000000000000000");
    assert_string_equal(tailscaled.host, "local-tailscaled.sock");
    http_server_say(&tailscaled, 200, long_text()); /* of any length */
    assert_int_equal(answer_to(1), VERIFY_ALLOWED);
    http_server_say(&tailscaled, 404, "no match");
    assert_int_equal(answer_to(2), VERIFY_TAILSCALED_DENIED);
    http_server_say(&tailscaled, 400, "invalid 'addr' parameter");
    assert_int_equal(answer_to(3), VERIFY_TAILSCALED_FAILED);
    assert_non_null(strstr(answers.detail, "too old"));
    http_server_say(&tailscaled, 500, "");
    assert_int_equal(answer_to(4), VERIFY_TAILSCALED_FAILED);
    http_server_behave(&tailscaled, HTTP_HANGS_UP);
    assert_int_equal(answer_to(5), VERIFY_TAILSCALED_FAILED);
    http_server_gate(&tailscaled, true);
    http_server_behave(&tailscaled, HTTP_BREAKS);
    start(config(true, false, true, SHORT_MS));
    assert_int_equal(answer_to(6), VERIFY_TIMEOUT);
    http_server_say(&tailscaled, 200, "{}");
    assert_int_equal(answer_to(6), VERIFY_TIMEOUT);
    http_server_gate(&tailscaled, false);
    /* A connection each time: one that was restarted is found again. */
    start(config(true, false, true, LONG_MS));
    assert_int_equal(answer_to(7), VERIFY_ALLOWED);
    http_server_stop(&tailscaled);
    assert_int_equal(answer_to(8), VERIFY_TAILSCALED_FAILED);
    char path[sizeof(tailscaled.socket)];
    memcpy(path, tailscaled.socket, sizeof(path));
    http_server_start(&tailscaled, true, "{}");
    assert_int_equal(rename(tailscaled.socket, path), 0);
    memcpy(tailscaled.socket, path, sizeof(path));
    assert_int_equal(answer_to(8), VERIFY_ALLOWED);
}

static void both_must_agree(void **state)
{
    struct verify_figures figures;

    (void)state;
    start(config(true, true, true, LONG_MS));
    assert_int_equal(answer_to(1), VERIFY_ALLOWED);
    assert_int_equal(http_server_requests(&tailscaled), 1);
    assert_int_equal(http_server_requests(&url), 1);
    http_server_say(&url, 200, NO);
    assert_int_equal(answer_to(2), VERIFY_URL_DENIED);
    http_server_say(&tailscaled, 404, "");
    assert_int_equal(answer_to(3), VERIFY_TAILSCALED_DENIED);
    assert_int_equal(http_server_requests(&tailscaled), 3);
    assert_int_equal(http_server_requests(&url), 2); /* it was not asked any more */
    verify_read(verify, &figures);
    assert_int_equal(figures.to_tailscaled, 3);
    assert_int_equal(figures.to_url, 2);
}

static void the_same_is_asked_once(void **state)
{
    enum verify_result result;

    (void)state;
    http_server_gate(&url, true);
    start(config(false, true, true, LONG_MS));
    for (unsigned i = 0; i < 10; i++)
        assert_false(ask(1, &result));
    http_server_wait_at_once(&url, 1);
    assert_false(ask(1, &result)); /* it is asked already */
    http_server_gate(&url, false);
    wait_answers(11);
    assert_int_equal(answers.by[VERIFY_ALLOWED], 11);
    assert_int_equal(http_server_requests(&url), 1);
}

static void no_more_than_a_bound_at_once(void **state)
{
    enum { MANY = VERIFY_AT_ONCE + 40 };
    enum verify_result result;
    struct verify_figures figures;

    (void)state;
    http_server_gate(&url, true);
    start(config(false, true, false, LONG_MS));
    for (unsigned i = 0; i < MANY; i++)
        assert_false(ask(i, &result));
    http_server_wait_at_once(&url, VERIFY_AT_ONCE);
    verify_read(verify, &figures);
    assert_int_equal(figures.asking, VERIFY_AT_ONCE);
    assert_int_equal(figures.waiting, MANY - VERIFY_AT_ONCE);
    http_server_gate(&url, false);
    wait_answers(MANY);
    assert_int_equal(answers.by[VERIFY_ALLOWED], MANY);
    assert_int_equal(url.most_at_once, VERIFY_AT_ONCE);
}

static void too_many_are_answered_at_once(void **state)
{
    enum verify_result result;

    (void)state;
    http_server_gate(&url, true);
    start(config(false, true, false, LONG_MS));
    for (unsigned i = 0; i < VERIFY_AT_ONCE + VERIFY_WAITING; i++)
        assert_false(ask(i, &result));
    assert_true(ask(99999, &result));
    assert_int_equal(result, VERIFY_OVERLOAD);
    assert_true(ask(1, &result)); /* the same as another is one more, too */
    assert_int_equal(result, VERIFY_OVERLOAD);
    /* The end answers all of them. */
    verify_stop(verify);
    verify = NULL;
    assert_int_equal(answers.by[VERIFY_STOPPED], VERIFY_AT_ONCE + VERIFY_WAITING);

    start(config(false, true, true, LONG_MS));
    for (unsigned i = 0; i < VERIFY_AT_ONCE + VERIFY_WAITING; i++)
        assert_false(ask(i, &result));
    assert_true(ask(99999, &result));
    assert_int_equal(result, VERIFY_ALLOWED_UNASKED);
    change(config(true, true, true, LONG_MS)); /* without tailscaled's word nobody is let in */
    assert_true(ask(99999, &result));
    assert_int_equal(result, VERIFY_OVERLOAD);
}

static void who_waits_too_long_is_not_asked_about(void **state)
{
    enum { MANY = VERIFY_AT_ONCE * 2 };
    enum verify_result result;

    (void)state;
    http_server_gate(&url, true);
    http_server_gate(&tailscaled, true);
    start(config(false, true, false, SHORT_MS));
    for (unsigned i = 0; i < MANY; i++)
        assert_false(ask(i, &result));
    wait_answers(MANY);
    assert_int_equal(answers.by[VERIFY_TIMEOUT], MANY);
    start(config(false, true, true, SHORT_MS));
    for (unsigned i = 0; i < MANY; i++)
        assert_false(ask(i, &result));
    wait_answers(MANY * 2);
    assert_int_equal(answers.by[VERIFY_ALLOWED_UNASKED], MANY);
    start(config(true, true, true, SHORT_MS));
    for (unsigned i = 0; i < MANY; i++)
        assert_false(ask(i, &result));
    wait_answers(MANY * 3);
    assert_int_equal(answers.by[VERIFY_TIMEOUT], MANY * 2);
}

static void a_change_asks_again(void **state)
{
    enum verify_result result;

    (void)state;
    start(config(false, true, true, LONG_MS));
    assert_int_equal(answer_to(1), VERIFY_ALLOWED);
    http_server_say(&tailscaled, 404, "");
    http_server_gate(&url, true);
    assert_false(ask(2, &result));
    assert_false(ask(2, &result));
    http_server_wait_at_once(&url, 1);
    change(config(true, false, true, LONG_MS));
    /* What is asked already is not asked by those of before; it is not joined to them either. */
    assert_false(ask(2, &result));
    wait_answers(2);
    assert_int_equal(answers.last, VERIFY_TAILSCALED_DENIED);
    http_server_gate(&url, false); /* a yes, which no longer counts */
    wait_answers(4);
    assert_int_equal(answers.by[VERIFY_TAILSCALED_DENIED], 3);
    assert_int_equal(answer_to(1), VERIFY_TAILSCALED_DENIED); /* nothing is remembered either */
    change(config(false, false, true, LONG_MS));
    assert_true(ask(2, &result));
    assert_int_equal(result, VERIFY_ALLOWED); /* nobody needs to be asked */
}

static void a_question_may_outlive_all_sources(void **state)
{
    enum verify_result result;

    (void)state;
    http_server_gate(&url, true);
    start(config(false, true, false, LONG_MS));
    assert_false(ask(1, &result));
    http_server_wait_at_once(&url, 1);
    change(config(false, false, false, LONG_MS));
    http_server_say(&url, 200, NO);
    http_server_gate(&url, false);
    wait_answers(1);
    assert_int_equal(answers.last, VERIFY_ALLOWED);
}

static void addresses_are_told_without_their_port(void **state)
{
    static const char *const cases[][2] = {{"192.0.2.1:4242", "192.0.2.1"},
                                           {"[2001:db8::1]:1", "2001:db8::1"},
                                           {"[fe80::1%eth0]:1", "fe80::1%eth0"},
                                           {"unix", ""},
                                           {"unknown", ""},
                                           {"", ""}};
    char source[64];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        verify_source(cases[i][0], source);
        assert_string_equal(source, cases[i][1]);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_url_is_asked_as_derper_asks),
        T(answers_of_the_url),
        T(a_url_that_does_not_answer),
        T(tailscaled_is_asked_over_its_socket),
        T(both_must_agree),
        T(the_same_is_asked_once),
        T(no_more_than_a_bound_at_once),
        T(too_many_are_answered_at_once),
        T(who_waits_too_long_is_not_asked_about),
        T(a_change_asks_again),
        T(a_question_may_outlive_all_sources),
        cmocka_unit_test(addresses_are_told_without_their_port),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
