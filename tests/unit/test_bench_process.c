/* SPDX-License-Identifier: BSD-3-Clause */
/* The load generator finds the relay's process, and reads what it took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "../../bench/process.c"

/* As the kernel prints them on a machine of this byte order. */
static void print_line(char *line, size_t room, const char *address, unsigned port, unsigned state,
                       unsigned long inode)
{
    uint32_t words[4] = {0};
    char hex[33];
    int at = 0, count = strchr(address, ':') != NULL ? 4 : 1;

    assert_int_equal(inet_pton(count == 4 ? AF_INET6 : AF_INET, address, words), 1);
    for (int i = 0; i < count; i++)
        at += snprintf(hex + at, sizeof(hex) - (size_t)at, "%08X", words[i]);
    snprintf(line, room,
             "  12: %s:%04X %s:0000 %02X 00000000:00000000 00:00000000 00000000     0        0 %lu "
             "1 0000000000000000 100 0 0 10 0\n",
             hex, port, count == 4 ? "00000000000000000000000000000000" : "00000000", state, inode);
}

static bool listens(const char *bound, unsigned port, unsigned state, const char *to)
{
    struct sockaddr_storage address = {0};
    unsigned long inode = 0;
    char line[300];
    bool found;

    if (strchr(to, ':') != NULL) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;

        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(3340)};
        assert_int_equal(inet_pton(AF_INET6, to, &in6->sin6_addr), 1);
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)&address;

        *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(3340)};
        assert_int_equal(inet_pton(AF_INET, to, &in->sin_addr), 1);
    }
    print_line(line, sizeof(line), bound, port, state, 987654);
    found = process_parse_listener(line, (struct sockaddr *)&address, &inode);
    if (found)
        assert_int_equal(inode, 987654);
    return found;
}

static void lines_of_listeners(void **state)
{
    (void)state;
    assert_true(listens("127.0.0.1", 3340, 0x0a, "127.0.0.1"));
    assert_true(listens("0.0.0.0", 3340, 0x0a, "127.0.0.1"));
    assert_true(listens("::", 3340, 0x0a, "127.0.0.1"));
    assert_true(listens("::", 3340, 0x0a, "::1"));
    assert_true(listens("::1", 3340, 0x0a, "::1"));
    assert_false(listens("127.0.0.2", 3340, 0x0a, "127.0.0.1"));
    assert_false(listens("127.0.0.1", 3341, 0x0a, "127.0.0.1"));
    assert_false(listens("127.0.0.1", 3340, 0x01, "127.0.0.1")); /* established */
    assert_false(listens("0.0.0.0", 3340, 0x0a, "::1"));
    assert_false(listens("fe80::1", 3340, 0x0a, "::1"));
}

static void other_lines(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    unsigned long inode;

    (void)state;
    assert_false(process_parse_listener("  sl  local_address rem_address   st tx_queue\n",
                                        (struct sockaddr *)&address, &inode));
    assert_false(process_parse_listener("", (struct sockaddr *)&address, &inode));
    assert_false(
        process_parse_listener("   0: 0100007F:0D0C\n", (struct sockaddr *)&address, &inode));
}

static void finds_this_process(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pid_t pid = 0;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(process_find_listener((struct sockaddr *)&address, &pid), -ENOENT);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(process_find_listener((struct sockaddr *)&address, &pid), 0);
    assert_int_equal(pid, getpid());
    close(fd);
}

/* CPU time and memory that this process takes are seen in its figures. */
static void figures_grow_with_use(void **state)
{
    const size_t size = 32u << 20;
    struct process_sample before, after;
    volatile uint8_t *memory;

    (void)state;
    assert_int_equal(process_sample(getpid(), &before), 0);
    memory = malloc(size);
    assert_non_null((const void *)memory);
    do {
        for (size_t i = 0; i < size; i += 512)
            memory[i] = (uint8_t)i;
        assert_int_equal(process_sample_cpu(getpid(), &after), 0);
    } while (after.cpu_ns < before.cpu_ns + 2000000);
    assert_int_equal(process_sample(getpid(), &after), 0);
    assert_true(after.at_ns > before.at_ns);
    assert_true(after.rss >= before.rss + size / 2);
    free((void *)memory);
}

static void no_such_process(void **state)
{
    struct process_sample sample;
    char name[16];

    (void)state;
    assert_true(process_sample(4194304, &sample) < 0); /* above the greatest that there can be */
    process_name(4194304, name, sizeof(name));
    assert_string_equal(name, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_listeners), cmocka_unit_test(other_lines),
        cmocka_unit_test(finds_this_process), cmocka_unit_test(figures_grow_with_use),
        cmocka_unit_test(no_such_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
