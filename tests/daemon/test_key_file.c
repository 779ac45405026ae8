/* SPDX-License-Identifier: BSD-3-Clause */
/* The key file: made once, private, read in both forms. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "key_file.h"

static char folder[] = "/tmp/hyper-derp-key.XXXXXX";
static char path[128];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void write_file(const char *text)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
    chmod(path, 0600);
}

static void one_is_made_once_and_kept(void **state)
{
    (void)state;
    hyperderp_private_key made, read, again;
    char fault[KEY_FILE_FAULT];
    struct stat info;

    in_folder("certs/derp.key");
    assert_int_equal(key_file_read(path, &read, fault), -ENOENT);
    assert_int_equal(key_file_make(path, &made, fault), 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(key_file_read(path, &read, fault), 0);
    assert_memory_equal(&read, &made, sizeof(made));
    assert_int_equal(key_file_make(path, &again, fault), -EEXIST);
    assert_int_equal(key_file_read(path, &read, fault), 0);
    assert_memory_equal(&read, &made, sizeof(made));
    /* Nothing else is left in the folder. */
    assert_int_equal(unlink(path), 0);
    in_folder("certs");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(rmdir(path), 0);
}

#define HEX "6813b0ef4b6dd6c1b1ba54bb6a9ac81a6b4de61bd4d2f9b6cbcbca0ee4ccce4b"

static void both_forms_are_read(void **state)
{
    (void)state;
    static const char *const good[] = {
        "privkey:" HEX "\n", "privkey:" HEX, "  privkey:" HEX "\r\n\n",
        "{\"PrivateKey\": \"privkey:" HEX "\"}", "\n{\n\t\"PrivateKey\": \"privkey:" HEX "\"\n}\n"};
    hyperderp_private_key first, read;
    char fault[KEY_FILE_FAULT];

    in_folder("derp.key");
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        write_file(good[i]);
        assert_int_equal(key_file_read(path, i ? &read : &first, fault), 0);
        if (i)
            assert_memory_equal(&read, &first, sizeof(first));
    }
}

static void one_that_others_can_read_is_refused(void **state)
{
    (void)state;
    hyperderp_private_key read;
    char fault[KEY_FILE_FAULT];

    in_folder("derp.key");
    write_file("privkey:" HEX "\n");
    chmod(path, 0644);
    assert_int_equal(key_file_read(path, &read, fault), -EKEYREJECTED);
    assert_non_null(strstr(fault, path));
    assert_non_null(strstr(fault, "(mode 0644): chmod "));
    assert_null(strstr(fault, HEX));
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "privkey:",
                                      "privkey:12",
                                      "nodekey:" HEX,
                                      "privkey:" HEX " x",
                                      "privkey:" HEX "\nprivkey:" HEX,
                                      "{\"PrivateKey\": 1}",
                                      "{}",
                                      "[]",
                                      "{\"PrivateKey\": \"\"}"};
    hyperderp_private_key key;
    char fault[KEY_FILE_FAULT], big[5000];

    in_folder("derp.key");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_file(bad[i]);
        assert_int_equal(key_file_read(path, &key, fault), -EINVAL);
        assert_non_null(strstr(fault, path));
        assert_null(strstr(fault, HEX));
    }
    memset(big, ' ', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    write_file(big);
    assert_int_equal(key_file_read(path, &key, fault), -EINVAL);
}

static void a_folder_that_cannot_be_is_told(void **state)
{
    (void)state;
    hyperderp_private_key key;
    char fault[KEY_FILE_FAULT];

    in_folder("a/b/derp.key");
    assert_int_equal(key_file_make(path, &key, fault), -ENOENT);
    assert_non_null(strstr(fault, "its folder cannot be made"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_is_made_once_and_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(both_forms_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_others_can_read_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(anything_else_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
