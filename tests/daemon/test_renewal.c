/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates that change while the relay runs, in the ways that programs for renewal have. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "flags.h"
#include "log.h"
#include "renewal.h"

struct fixture {
    char folder[64];
    char chain[128], key[128];
    struct config config;
    struct status status;
    struct renewal renewal;
    hyperderp_certificate *first, *second;
};

static struct fixture fixture;

static const char *in_folder(const char *name)
{
    static char paths[4][192];
    static unsigned at;
    char *path = paths[at++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", fixture.folder, name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

/* Writes one of the two files, both with NULL for none. */
static void write_pem(const hyperderp_certificate *certificate, const char *chain_file,
                      const char *key_file)
{
    char *chain, *key;

    assert_int_equal(hyperderp_certificate_write(certificate, &chain, &key), 0);
    if (chain_file)
        write_text(chain_file, chain);
    if (key_file)
        write_text(key_file, key);
    hyperderp_pem_free(chain);
    hyperderp_pem_free(key);
}

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = strdup(value);
}

static void start_relay(void)
{
    hyperderp_listener_options listener;
    hyperderp_relay_options options;

    hyperderp_relay_options_init(&options);
    options.workers = 1;
    options.engine = HYPERDERP_ENGINE_EPOLL;
    assert_int_equal(hyperderp_relay_new(&fixture.status.relay, &options), 0);
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    listener.certificate = fixture.renewal.certificate;
    assert_int_equal(hyperderp_relay_add_listener(fixture.status.relay, &listener), 0);
}

static int set_up(void **state)
{
    (void)state;
    memset(&fixture, 0, sizeof(fixture));
    strcpy(fixture.folder, "/tmp/hyper-derp-renewal.XXXXXX");
    if (!mkdtemp(fixture.folder) || config_init(&fixture.config) != 0 ||
        !config_add_listener(&fixture.config) ||
        hyperderp_certificate_make(&fixture.first, "a.example", 90) != 0 ||
        hyperderp_certificate_make(&fixture.second, "a.example", 91) != 0)
        return -1;
    strcpy(fixture.chain, in_folder("chain.pem"));
    strcpy(fixture.key, in_folder("key.pem"));
    set_text(&fixture.config.key_file, in_folder("derp.key"));
    set_text(&fixture.config.tls.hostname, "a.example");
    return 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    hyperderp_relay_free(fixture.status.relay);
    renewal_free(&fixture.renewal);
    hyperderp_certificate_free(fixture.first);
    hyperderp_certificate_free(fixture.second);
    config_free(&fixture.config);
    snprintf(command, sizeof(command), "rm -rf '%s'", fixture.folder);
    return system(command);
}

/* Starts with files that hold the first pair already. */
static void start_with(const char *chain_file, const char *key_file)
{
    set_text(&fixture.config.tls.cert, chain_file);
    set_text(&fixture.config.tls.key, key_file);
    assert_int_equal(renewal_start(&fixture.renewal, &fixture.config, true, &fixture.status),
                     STATUS_OK);
    start_relay();
    assert_true(hyperderp_certificate_equal(fixture.renewal.certificate, fixture.first));
    assert_int_equal(fixture.status.certificate_expires,
                     hyperderp_certificate_expires(fixture.first));
}

static void start_with_first(void)
{
    write_pem(fixture.first, fixture.chain, fixture.key);
    start_with(fixture.chain, fixture.key);
}

static void tick(int64_t now_ms)
{
    renewal_tick(&fixture.renewal, now_ms, &fixture.status);
}

static void expect(const hyperderp_certificate *in_use, uint64_t reloads, uint64_t errors)
{
    assert_true(hyperderp_certificate_equal(fixture.renewal.certificate, in_use));
    assert_int_equal(fixture.status.certificate_reloads, reloads);
    assert_int_equal(fixture.status.certificate_reload_errors, errors);
    assert_int_equal(fixture.status.certificate_expires, hyperderp_certificate_expires(in_use));
}

/* Under another name first, and then renamed. */
static void replace(const hyperderp_certificate *certificate, bool chain, bool key)
{
    const char *fresh = in_folder("fresh");

    if (chain) {
        write_pem(certificate, fresh, NULL);
        assert_int_equal(rename(fresh, fixture.chain), 0);
    }
    if (key) {
        write_pem(certificate, NULL, fresh);
        assert_int_equal(rename(fresh, fixture.key), 0);
    }
}

static void link_to(const char *target, const char *name)
{
    unlink(in_folder("link"));
    assert_int_equal(symlink(target, in_folder("link")), 0);
    assert_int_equal(rename(in_folder("link"), in_folder(name)), 0);
}

static void make_folder(const char *name)
{
    assert_int_equal(mkdir(in_folder(name), 0700), 0);
}

static void files_that_stay_are_left_alone(void **state)
{
    (void)state;
    start_with_first();
    for (int64_t now = 1000; now < 100000; now += 1000)
        tick(now);
    expect(fixture.first, 0, 0);
    /* Others with the same in them are no news. */
    replace(fixture.first, true, true);
    tick(200000);
    expect(fixture.first, 0, 0);
}

static void a_rename_is_noticed(void **state)
{
    (void)state;
    start_with_first();
    replace(fixture.second, true, true);
    tick(1000);
    expect(fixture.second, 1, 0);
    replace(fixture.first, true, true);
    tick(2000);
    expect(fixture.first, 2, 0);
}

static void writing_in_place_is_noticed(void **state)
{
    (void)state;
    start_with_first();
    write_pem(fixture.second, fixture.chain, fixture.key);
    tick(1000);
    expect(fixture.second, 1, 0);
}

/* One file comes, and the other one a little later. */
static void a_pair_that_is_half_there_is_waited_for(void **state)
{
    (void)state;
    uint64_t errors = log_lines(HYPERDERP_LOG_ERROR);

    start_with_first();
    replace(fixture.second, true, false);
    tick(1000);
    tick(2000);
    expect(fixture.first, 0, 0);
    replace(fixture.second, false, true);
    tick(3000);
    expect(fixture.second, 1, 0);
    tick(3000 + RENEWAL_SETTLE_MS);
    tick(3000 + 10 * RENEWAL_SETTLE_MS);
    expect(fixture.second, 1, 0);
    assert_int_equal(log_lines(HYPERDERP_LOG_ERROR), errors);
}

static void a_bad_pair_is_told_once_and_the_old_one_stays(void **state)
{
    (void)state;
    uint64_t errors = log_lines(HYPERDERP_LOG_ERROR);

    start_with_first();
    replace(fixture.second, true, false);
    tick(1000);
    tick(1000 + RENEWAL_SETTLE_MS - 1);
    assert_int_equal(log_lines(HYPERDERP_LOG_ERROR), errors);
    for (int64_t later = 0; later < 100; later++)
        tick(1000 + RENEWAL_SETTLE_MS + later * 1000);
    expect(fixture.first, 0, 1);
    assert_int_equal(log_lines(HYPERDERP_LOG_ERROR), errors + 1);

    /* The old files come back, which is no news; then a pair, which is. */
    replace(fixture.first, true, false);
    tick(200000);
    tick(200000 + RENEWAL_SETTLE_MS);
    expect(fixture.first, 0, 1);
    replace(fixture.second, true, true);
    tick(300000);
    expect(fixture.second, 1, 1);
    assert_int_equal(log_lines(HYPERDERP_LOG_ERROR), errors + 1);
}

/* Each change is given its time anew. */
static void a_slow_change_has_its_time(void **state)
{
    (void)state;
    start_with_first();
    for (int64_t now = 1000; now < 1000 + 5 * RENEWAL_SETTLE_MS; now += RENEWAL_SETTLE_MS - 1) {
        write_text(in_folder("fresh"), "half a file");
        assert_int_equal(rename(in_folder("fresh"), fixture.chain), 0);
        tick(now);
    }
    expect(fixture.first, 0, 0);
}

static void files_that_go_are_told_once(void **state)
{
    (void)state;
    start_with_first();
    unlink(fixture.chain);
    unlink(fixture.key);
    for (int64_t now = 1000; now < 60000; now += 1000)
        tick(now);
    expect(fixture.first, 0, 1);
    write_pem(fixture.second, fixture.chain, fixture.key);
    tick(60000);
    expect(fixture.second, 1, 1);
}

/* certbot: live/ holds links into archive/, each of which is put anew. */
static void links_that_lead_elsewhere_are_noticed(void **state)
{
    (void)state;
    make_folder("archive");
    make_folder("live");
    write_pem(fixture.first, in_folder("archive/chain1.pem"), in_folder("archive/key1.pem"));
    write_pem(fixture.second, in_folder("archive/chain2.pem"), in_folder("archive/key2.pem"));
    link_to("../archive/chain1.pem", "live/chain.pem");
    link_to("../archive/key1.pem", "live/key.pem");
    start_with(in_folder("live/chain.pem"), in_folder("live/key.pem"));
    link_to("../archive/key2.pem", "live/key.pem");
    tick(1000);
    expect(fixture.first, 0, 0);
    link_to("../archive/chain2.pem", "live/chain.pem");
    tick(2000);
    expect(fixture.second, 1, 0);
}

/* Kubernetes: the files are links through ..data, which is a link to a folder. */
static void a_folder_behind_a_link_is_noticed(void **state)
{
    (void)state;
    make_folder("..1");
    make_folder("..2");
    write_pem(fixture.first, in_folder("..1/tls.crt"), in_folder("..1/tls.key"));
    write_pem(fixture.second, in_folder("..2/tls.crt"), in_folder("..2/tls.key"));
    link_to("..1", "..data");
    link_to("..data/tls.crt", "tls.crt");
    link_to("..data/tls.key", "tls.key");
    start_with(in_folder("tls.crt"), in_folder("tls.key"));
    tick(1000);
    link_to("..2", "..data");
    tick(2000);
    expect(fixture.second, 1, 0);
}

static int reload(const char *cert, const char *key, const char *hostname)
{
    const struct config config = {.listeners = fixture.config.listeners,
                                  .listener_count = fixture.config.listener_count,
                                  .tls = {.cert = (char *)(uintptr_t)cert,
                                          .key = (char *)(uintptr_t)key,
                                          .hostname = (char *)(uintptr_t)hostname}};
    return renewal_reload(&fixture.renewal, &config, fixture.config.key_file, &fixture.status);
}

static void other_files_come_with_a_reload(void **state)
{
    (void)state;
    char chain[192], key[192];

    start_with_first();
    strcpy(chain, in_folder("second.pem"));
    strcpy(key, in_folder("second.key"));
    write_pem(fixture.second, chain, key);
    assert_int_equal(reload(fixture.chain, fixture.key, "a.example"), 0);
    expect(fixture.first, 0, 0);
    assert_int_equal(reload(chain, key, "a.example"), 0);
    expect(fixture.second, 1, 0);
    /* They are watched from now on, and the former ones no more. */
    replace(fixture.second, true, false);
    tick(1000);
    tick(1000 + RENEWAL_SETTLE_MS);
    expect(fixture.second, 1, 0);
    write_pem(fixture.first, chain, key);
    tick(5000 + RENEWAL_SETTLE_MS);
    expect(fixture.first, 2, 0);
}

static void a_reload_that_cannot_be_changes_nothing(void **state)
{
    (void)state;
    start_with_first();
    assert_int_equal(reload(fixture.chain, "/nonexistent", "a.example"), -ENOENT);
    expect(fixture.first, 0, 1);
    write_text(in_folder("bad"), "no key");
    assert_int_equal(reload(fixture.chain, in_folder("bad"), "a.example"), -EINVAL);
    expect(fixture.first, 0, 2);
    /* The files of before are watched as before. */
    replace(fixture.second, true, true);
    tick(1000);
    expect(fixture.second, 1, 2);
}

static void a_self_signed_one_follows_the_hostname(void **state)
{
    (void)state;
    assert_int_equal(renewal_start(&fixture.renewal, &fixture.config, true, &fixture.status),
                     STATUS_OK);
    start_relay();
    hyperderp_certificate *made = hyperderp_certificate_ref(fixture.renewal.certificate);
    tick(1000);
    assert_int_equal(reload("", "", "a.example"), 0);
    expect(made, 0, 0);
    assert_int_equal(reload("", "", "203.0.113.5"), 0);
    assert_int_equal(fixture.status.certificate_reloads, 1);
    assert_true(hyperderp_certificate_covers(fixture.renewal.certificate, "203.0.113.5"));
    assert_int_equal(access(in_folder("self-signed.crt"), F_OK), 0);
    tick(2000);
    assert_int_equal(fixture.status.certificate_reloads, 1);
    hyperderp_certificate_free(made);
}

static void without_tls_there_is_nothing_to_do(void **state)
{
    (void)state;
    fixture.config.listeners[0].tls = false;
    set_text(&fixture.config.tls.cert, "/nonexistent");
    set_text(&fixture.config.tls.key, "/nonexistent");
    assert_int_equal(renewal_start(&fixture.renewal, &fixture.config, true, &fixture.status),
                     STATUS_OK);
    assert_null(fixture.renewal.certificate);
    tick(1000);
    assert_int_equal(reload("/nonexistent", "/nonexistent", ""), 0);
    assert_int_equal(fixture.status.certificate_expires, 0);
    assert_int_equal(fixture.status.certificate_reload_errors, 0);
}

/* One that is about to expire is warned of at the start and when a day has passed. */
static void an_expiry_is_warned_of_each_day(void **state)
{
    (void)state;
    hyperderp_certificate *soon;
    uint64_t before = log_lines(HYPERDERP_LOG_WARN);

    start_with_first();
    assert_int_equal(log_lines(HYPERDERP_LOG_WARN), before);
    assert_int_equal(hyperderp_certificate_make(&soon, "a.example", 10), 0);
    write_pem(soon, fixture.chain, fixture.key);
    tick(1000);
    expect(soon, 1, 0);
    assert_int_equal(log_lines(HYPERDERP_LOG_WARN), before + 1);
    tick(2000);
    assert_int_equal(log_lines(HYPERDERP_LOG_WARN), before + 1);
    fixture.renewal.reminded--; /* it was yesterday */
    tick(3000);
    tick(4000);
    assert_int_equal(log_lines(HYPERDERP_LOG_WARN), before + 2);
    hyperderp_certificate_free(soon);
}

static void another_name_is_warned_of(void **state)
{
    (void)state;
    uint64_t before = log_lines(HYPERDERP_LOG_WARN);

    set_text(&fixture.config.tls.hostname, "b.example");
    start_with_first();
    assert_int_equal(log_lines(HYPERDERP_LOG_WARN), before + 1);
}

static void a_key_that_everybody_can_read_is_not_taken(void **state)
{
    (void)state;
    start_with_first();
    assert_int_equal(chmod(fixture.key, 0604), 0);
    assert_int_equal(reload(fixture.chain, fixture.key, "a.example"), -EKEYREJECTED);
    assert_int_equal(chmod(fixture.key, 0600), 0);
    assert_int_equal(reload(fixture.chain, fixture.key, "a.example"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(files_that_stay_are_left_alone),
        TEST(a_rename_is_noticed),
        TEST(writing_in_place_is_noticed),
        TEST(a_pair_that_is_half_there_is_waited_for),
        TEST(a_bad_pair_is_told_once_and_the_old_one_stays),
        TEST(a_slow_change_has_its_time),
        TEST(files_that_go_are_told_once),
        TEST(links_that_lead_elsewhere_are_noticed),
        TEST(a_folder_behind_a_link_is_noticed),
        TEST(other_files_come_with_a_reload),
        TEST(a_reload_that_cannot_be_changes_nothing),
        TEST(a_self_signed_one_follows_the_hostname),
        TEST(without_tls_there_is_nothing_to_do),
        TEST(an_expiry_is_warned_of_each_day),
        TEST(another_name_is_warned_of),
        TEST(a_key_that_everybody_can_read_is_not_taken),
    };

#undef TEST
    umask(077);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
