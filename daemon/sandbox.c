/* SPDX-License-Identifier: BSD-3-Clause */
/* Both parts, and what is said of them. */
#include "sandbox.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "call_filter.h"
#include "file_rules.h"
#include "log.h"
#include "private_file.h"

/* Whether there is a filter to add to. */
static bool filtered;

/* A part that could not be had: enough of a reason not to start only where it was insisted on. */
static int settle(const struct config *config, int error, const char *part)
{
    const char *reason =
        error == -EOPNOTSUPP ? "this kernel has nothing of the kind" : strerror(-error);
    bool insists = config->sandbox == SANDBOX_ON;

    if (error == 0)
        return 0;
    log_print(insists                ? HYPERDERP_LOG_ERROR
              : error == -EOPNOTSUPP ? HYPERDERP_LOG_INFO
                                     : HYPERDERP_LOG_WARN,
              "sandbox: %s: %s%s", part, reason,
              insists ? ", and sandbox = \"on\" asks for it" : "; going on without");
    return insists ? error : 0;
}

int sandbox_enter(const struct config *config, const char *config_file, bool keeps_key)
{
    if (config->sandbox == SANDBOX_OFF)
        return 0;
    if (SANDBOX_LEFT_OUT)
        return settle(config, -EOPNOTSUPP, "not in a build with sanitizers");
    /* Neither a core file nor another process of the same user shall show the keys. */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    /* A rule needs a folder that is there. Whoever cannot make it will say so. */
    if (keeps_key)
        (void)private_folder_make(config->key_file);
    int error = settle(config, file_rules_enforce(config, config_file), "files (Landlock)");
    if (error)
        return error;
    error = call_filter_load();
    filtered = error == 0;
    return settle(config, error, "system calls (seccomp)");
}

int sandbox_seal(const struct config *config)
{
    if (!filtered)
        return 0;
    return settle(config, call_filter_seal(), "system calls of the start (seccomp)");
}

static void check_file(void *context, const char *key, const char *path, bool written)
{
    (void)context;
    if (!file_rules_reach(path, written))
        log_print(HYPERDERP_LOG_WARN,
                  "%s %s: the sandbox of this process was made without that folder: restart the "
                  "daemon to use it",
                  key, path);
}

void sandbox_check(const struct config *config)
{
    file_rules_each(config, check_file, NULL);
}
