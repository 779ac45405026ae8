/* SPDX-License-Identifier: BSD-3-Clause */
/* From SIGHUP to a relay with other limits. */
#include "reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "access.h"
#include "log.h"
#include "mesh.h"
#include "notify.h"
#include "sandbox.h"
#include "schema.h"

int configuration_read(struct config *config, const struct flags *flags, struct problems *problems)
{
    *config = (struct config){0};
    int error = flags->config_file ? config_read(config, flags->config_file, problems)
                                   : config_init(config);
    /* All problems are told at once, those of the whole too; a file that could not be read leaves
     * nothing to check. */
    if ((error == 0 || error == -EINVAL) && config->key_file) {
        int applied = flags_apply(flags, config);
        if (applied)
            return applied;
        error = config_check(config, flags->config_file, problems) ? -EINVAL : error;
    }
    return error;
}

int configuration_load(struct config *config, const struct flags *flags)
{
    struct problems problems;

    problems_init(&problems);
    int error = configuration_read(config, flags, &problems);
    problems_log(&problems);
    if (error == -ENOMEM)
        log_print(HYPERDERP_LOG_ERROR, "no memory for the configuration");
    problems_free(&problems);
    return error;
}

hyperderp_limits configuration_limits(const struct config *config)
{
    const struct config_limits *limits = &config->limits;

    return (hyperderp_limits){
        .size = sizeof(hyperderp_limits),
        .max_connections = (unsigned)limits->max_connections,
        .queue_frames = (unsigned)limits->queue_frames,
        .queue_bytes = (size_t)limits->queue_bytes,
        .memory_bytes = (size_t)limits->memory,
        .handshake_timeout_ms = (unsigned)limits->handshake_timeout_ms,
        .keepalive_ms = (unsigned)limits->keepalive_ms,
        .write_timeout_ms = (unsigned)limits->write_timeout_ms,
        .accept_rate = (unsigned)limits->accept_rate,
        .accept_burst = (unsigned)limits->accept_burst,
        .connections_per_ip = (unsigned)limits->connections_per_ip,
        .client_rate = limits->client_rate,
        .client_burst = limits->client_burst,
        .queue_time_ms = (unsigned)limits->queue_time_ms,
    };
}

/* Writes "limits.keepalive "60s" -> "30s"", after a comma where something stands already. */
static void note_change(FILE *out, const struct schema_key *key, const struct config *before,
                        const struct config *after)
{
    fprintf(out, "%s%s%s%s ", ftell(out) > 0 ? ", " : "", key->section, *key->section ? "." : "",
            key->name);
    if (key->secret) {
        fputs("(another one)", out);
        return;
    }
    schema_print_value(key, before, out);
    fputs(" -> ", out);
    schema_print_value(key, after, out);
}

static bool same_strings(const struct config_strings *a, const struct config_strings *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

static bool same_listener(const struct config_listener *a, const struct config_listener *b)
{
    return strcmp(a->address, b->address) == 0 && a->tls == b->tls &&
           a->proxy_protocol == b->proxy_protocol &&
           same_strings(&a->trusted_proxies, &b->trusted_proxies);
}

static bool same_listeners(const struct config *a, const struct config *b)
{
    if (a->listener_count != b->listener_count)
        return false;
    for (size_t i = 0; i < a->listener_count; i++)
        if (!same_listener(&a->listeners[i], &b->listeners[i]))
            return false;
    return true;
}

/* Lists the changed keys that can be applied, or those that cannot. */
static void list_changes(FILE *out, bool reloadable, const struct config *before,
                         const struct config *after)
{
    for (size_t i = 0; i < schema_key_count; i++) {
        const struct schema_key *key = &schema_keys[i];
        if (strcmp(key->section, "listener") != 0 && key->reload == reloadable &&
            !schema_same(key, before, after))
            note_change(out, key, before, after);
    }
    if (!reloadable && !same_listeners(before, after))
        fprintf(out, "%sthe listeners", ftell(out) > 0 ? ", " : "");
}

static char *describe_changes(bool reloadable, const struct config *before,
                              const struct config *after)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    list_changes(out, reloadable, before, after);
    fclose(out);
    return text;
}

static void log_changes(const char *file, const struct config *before, const struct config *after)
{
    char *applied = describe_changes(true, before, after);
    char *left = describe_changes(false, before, after);

    log_print(HYPERDERP_LOG_INFO, "reloaded %s: %s", file,
              applied && *applied ? applied : "nothing that can be applied has changed");
    if (left && *left)
        log_print(HYPERDERP_LOG_WARN, "needs a restart, and was left as it was: %s", left);
    free(applied);
    free(left);
}

static void exchange(char **a, char **b)
{
    char *text = *a;

    *a = *b;
    *b = text;
}

static void exchange_strings(struct config_strings *a, struct config_strings *b)
{
    struct config_strings strings = *a;

    *a = *b;
    *b = strings;
}

/* The values that were applied are those of the running relay from now on; the others stay. */
static void keep_applied(struct config *config, struct config *fresh)
{
    exchange(&config->tls.cert, &fresh->tls.cert);
    exchange(&config->tls.key, &fresh->tls.key);
    exchange(&config->tls.hostname, &fresh->tls.hostname);
    exchange_strings(&config->mesh.with, &fresh->mesh.with);
    exchange(&config->mesh.ca_file, &fresh->mesh.ca_file);
    exchange(&config->access.allow_keys_file, &fresh->access.allow_keys_file);
    exchange(&config->access.tailscaled_socket, &fresh->access.tailscaled_socket);
    exchange(&config->access.verify_client_url, &fresh->access.verify_client_url);
    config->access.verify_client_url_fail_open = fresh->access.verify_client_url_fail_open;
    config->access.verify_timeout_ms = fresh->access.verify_timeout_ms;
    config->limits = fresh->limits;
    config->takeover.spread_ms = fresh->takeover.spread_ms;
    config->log_level = fresh->log_level;
    config->log_format = fresh->log_format;
    config->metrics.debug_endpoints = fresh->metrics.debug_endpoints;
}

static int prepare_access(const struct access *access, struct access_change **out,
                          const struct config *fresh)
{
    struct problems problems;

    problems_init(&problems);
    int error = access_prepare(access, out, &fresh->access, &problems);
    problems_log(&problems);
    problems_free(&problems);
    return error;
}

static int apply(struct config *config, const struct flags *flags, struct config *fresh,
                 struct status *status, struct web *web, struct renewal *renewal)
{
    const hyperderp_limits limits = configuration_limits(fresh);
    int error = mesh_change(status->relay, &config->mesh, &fresh->mesh);

    if (error)
        return error;
    error = renewal_reload(renewal, fresh, config->key_file, status);
    if (error) {
        (void)mesh_change(status->relay, &fresh->mesh, &config->mesh);
        return error;
    }
    /* The schema has the relay's own bounds: this does not fail for a configuration that was read.
     */
    error = hyperderp_relay_set_limits(status->relay, &limits);
    if (error) {
        log_print(HYPERDERP_LOG_ERROR, "%s: the relay does not take the limits: %s",
                  flags->config_file, strerror(-error));
        return error;
    }
    log_changes(flags->config_file, config, fresh);
    hyperderp_relay_set_log_level(status->relay, fresh->log_level);
    log_set_level(fresh->log_level);
    log_set_format(fresh->log_format);
    if (web)
        web_set_debug(web, fresh->metrics.debug_endpoints);
    keep_applied(config, fresh);
    return 0;
}

void reload(struct config *config, const struct flags *flags, struct status *status,
            struct web *web, struct renewal *renewal)
{
    struct access_change *access = NULL;
    struct config fresh;

    if (!flags->config_file) {
        log_print(HYPERDERP_LOG_INFO, "SIGHUP: there is no configuration file to reload");
        return;
    }
    notify_reloading();
    status->config_reloads++;
    int error = configuration_load(&fresh, flags);
    if (error == 0)
        sandbox_check(&fresh);
    if (error == 0)
        error = prepare_access(status->access, &access, &fresh);
    if (error == 0)
        error = apply(config, flags, &fresh, status, web, renewal);
    if (error == 0) {
        access_commit(status->access, access);
        status->config_last_success = time(NULL);
    } else {
        access_drop(access);
        status->config_reload_errors++;
        log_print(HYPERDERP_LOG_ERROR, "%s was not reloaded: everything stays as it was",
                  flags->config_file);
    }
    config_free(&fresh);
    notify_ready();
}
