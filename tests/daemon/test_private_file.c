/* SPDX-License-Identifier: BSD-3-Clause */
/* Files with secrets: whose they may be, who may read them, and how they are written. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "private_file.h"

#define SOMEBODY 12345
#define ANOTHER  12346

static char folder[] = "/tmp/hyper-derp-private.XXXXXX";
static char path[128];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    if (!mkdtemp(folder) || chmod(folder, 0755) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s/secret", folder);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static void write_file(const char *text, mode_t mode, uid_t owner)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(path, mode), 0);
    if (owner != geteuid())
        assert_int_equal(chown(path, owner, (gid_t)-1), 0);
}

/* What a process of this user is told. */
static int check_as(uid_t user, bool shared)
{
    char why[PRIVATE_FILE_WHY] = "";
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        if (user != geteuid() && seteuid(user) != 0)
            _exit(255);
        int error = private_file_check(path, shared, why);
        _exit(error == -EKEYREJECTED && !strstr(why, " it") ? 254 : -error);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void modes(void **state)
{
    static const struct {
        mode_t mode;
        int shared, own;
    } cases[] = {
        {0600, 0, 0},
        {0400, 0, 0},
        {0640, 0, -EKEYREJECTED},
        {0440, 0, -EKEYREJECTED},
        {0660, -EKEYREJECTED, -EKEYREJECTED},
        {0620, -EKEYREJECTED, -EKEYREJECTED},
        {0644, -EKEYREJECTED, -EKEYREJECTED},
        {0604, -EKEYREJECTED, -EKEYREJECTED},
        {0602, -EKEYREJECTED, -EKEYREJECTED},
        {0777, -EKEYREJECTED, -EKEYREJECTED},
    };
    uid_t owner = geteuid() == 0 ? SOMEBODY : geteuid();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_file("x", cases[i].mode, owner);
        assert_int_equal(check_as(owner, true), cases[i].shared);
        assert_int_equal(check_as(owner, false), cases[i].own);
        assert_int_equal(unlink(path), 0);
    }
}

static void owners(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("only root can give files away\n");
        skip();
    }
    /* Root hands a service a secret by its group; and reads what it keeps for one. */
    write_file("x", 0640, 0);
    assert_int_equal(chown(path, 0, getegid()), 0);
    assert_int_equal(check_as(SOMEBODY, false), 0);
    assert_int_equal(check_as(0, false), 0);
    write_file("x", 0600, SOMEBODY);
    assert_int_equal(check_as(0, false), 0);
    assert_int_equal(check_as(SOMEBODY, false), 0);
    /* Another's is not taken, but for a certificate's key, which its program may own. */
    write_file("x", 0640, ANOTHER);
    assert_int_equal(check_as(SOMEBODY, false), -EKEYREJECTED);
    assert_int_equal(check_as(SOMEBODY, true), 0);
    assert_int_equal(check_as(0, false), -EKEYREJECTED);
}

static void links_are_followed(void **state)
{
    char target[128], why[PRIVATE_FILE_WHY];

    (void)state;
    write_file("x", 0600, geteuid());
    snprintf(target, sizeof(target), "%s/target", folder);
    assert_int_equal(rename(path, target), 0);
    assert_int_equal(symlink("target", path), 0);
    assert_int_equal(private_file_check(path, false, why), 0);
    assert_int_equal(chmod(target, 0644), 0);
    assert_int_equal(private_file_check(path, false, why), -EKEYREJECTED);
    assert_non_null(strstr(why, "(mode 0644): chmod "));
}

static void what_is_read(void **state)
{
    char text[8], why[PRIVATE_FILE_WHY];
    size_t len = 9;

    (void)state;
    assert_int_equal(private_file_read(path, text, sizeof(text), &len, why), -ENOENT);
    assert_int_equal(len, 0);
    assert_string_equal(why, "cannot be read: No such file or directory");
    write_file("1234567", 0600, geteuid());
    assert_int_equal(private_file_read(path, text, sizeof(text), &len, why), 0);
    assert_int_equal(len, 7);
    assert_string_equal(text, "1234567");
    write_file("12345678", 0600, geteuid());
    assert_int_equal(private_file_read(path, text, sizeof(text), &len, why), -EINVAL);
    write_file("1", 0606, geteuid());
    assert_int_equal(private_file_read(path, text, sizeof(text), &len, why), -EKEYREJECTED);
    assert_int_equal(private_file_read(folder, text, sizeof(text), &len, why), -EKEYREJECTED);
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(private_file_read(folder, text, sizeof(text), &len, why), -EISDIR);
    /* A FIFO that nobody writes to is not waited for. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(private_file_read(path, text, sizeof(text), &len, why), -EINVAL);
}

/* Whatever the umask and whatever was there. */
static void what_is_written(void **state)
{
    char text[8], why[PRIVATE_FILE_WHY];
    struct stat info;
    size_t len;

    (void)state;
    mode_t before = umask(0);
    write_file("old", 0666, geteuid());
    assert_int_equal(private_file_write(path, "new"), 0);
    umask(before);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(private_file_read(path, text, sizeof(text), &len, why), 0);
    assert_string_equal(text, "new");
    /* A link is replaced, and what it led to is left alone. */
    char target[128];
    snprintf(target, sizeof(target), "%s/target", folder);
    assert_int_equal(rename(path, target), 0);
    assert_int_equal(symlink("target", path), 0);
    assert_int_equal(private_file_write(path, "newer"), 0);
    assert_int_equal(lstat(path, &info), 0);
    assert_true(S_ISREG(info.st_mode));
    assert_int_equal(private_file_read(target, text, sizeof(text), &len, why), 0);
    assert_string_equal(text, "new");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(modes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(owners, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_are_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_written, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
