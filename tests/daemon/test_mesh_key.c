/* SPDX-License-Identifier: BSD-3-Clause */
/* The file with the mesh key: what is one, and what is told of a file that holds none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "mesh_key.h"

#define DIGITS "0123456789abcdef0123456789ABCDEF0123456789abcdef00000000000000ff"

static char path[] = "/tmp/hyper-derp-mesh.XXXXXX";

static int set_up(void **state)
{
    (void)state;
    strcpy(path + strlen(path) - 6, "XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static int read_text(const char *text, size_t len, uint8_t *key, char *fault)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, len, out), len);
    assert_int_equal(fclose(out), 0);
    return mesh_key_read(path, key, fault); /* mkstemp() gives mode 0600 */
}

static void digits_with_blanks_around(void **state)
{
    static const char *const good[] = {DIGITS, DIGITS "\n", " \t\r\n" DIGITS " \r\n\n"};
    uint8_t key[HYPERDERP_MESH_KEY_SIZE];
    char fault[MESH_KEY_FAULT];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        memset(key, 0, sizeof(key));
        assert_int_equal(read_text(good[i], strlen(good[i]), key, fault), 0);
        assert_int_equal(key[0], 0x01);
        assert_int_equal(key[7], 0xef);
        assert_int_equal(key[15], 0xef); /* upper case is read, too */
        assert_int_equal(key[31], 0xff);
    }
}

static void anything_else_is_refused(void **state)
{
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    static const char *const bad[] = {
        "",         "\n",  "0123",      DIGITS "0",        DIGITS "ff",  DIGITS " x",
        "x" DIGITS, zeros, "0x" DIGITS, "meshkey:" DIGITS, DIGITS DIGITS};
    uint8_t key[HYPERDERP_MESH_KEY_SIZE], none[HYPERDERP_MESH_KEY_SIZE] = {0};
    char fault[MESH_KEY_FAULT];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(key, 1, sizeof(key));
        assert_int_equal(read_text(bad[i], strlen(bad[i]), key, fault), -EINVAL);
        assert_memory_equal(key, none, sizeof(key));
        assert_non_null(strstr(fault, path));
        assert_non_null(strstr(fault, "64 hexadecimal digits"));
        assert_null(strstr(fault, "0123")); /* nothing of what the file holds */
    }
    assert_int_equal(read_text(DIGITS "\0", sizeof(DIGITS), key, fault), -EINVAL);
}

static void a_file_that_others_can_read(void **state)
{
    uint8_t key[HYPERDERP_MESH_KEY_SIZE];
    char fault[MESH_KEY_FAULT];

    (void)state;
    assert_int_equal(read_text(DIGITS, strlen(DIGITS), key, fault), 0);
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(mesh_key_read(path, key, fault), -EKEYREJECTED);
    assert_non_null(strstr(fault, path));
    assert_non_null(strstr(fault, "(mode 0604): chmod "));
    assert_null(strstr(fault, "0123"));
    assert_int_equal(mesh_key_read("/nowhere/mesh.key", key, fault), -ENOENT);
    assert_non_null(strstr(fault, "/nowhere/mesh.key"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(digits_with_blanks_around, set_up, tear_down),
        cmocka_unit_test_setup_teardown(anything_else_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_others_can_read, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
