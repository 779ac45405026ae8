/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From files that change to a relay with another certificate. The files are looked at each second
 * by stat(), which follows symbolic links: so a rename, a link that leads elsewhere, and a folder
 * behind a link that is exchanged are all seen, on any file system.
 */
#include "renewal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "flags.h"
#include "log.h"

/* From here on each day has its warning. */
#define WARN_DAYS 14

#define DAY_SECONDS 86400

/* ---- What the log says of a certificate ---- */

static const char *name_of(const struct certificate_source *source)
{
    return source->chain_file ? source->chain_file : "(in memory)";
}

static void log_expiry(const struct renewal *renewal)
{
    time_t expires = (time_t)hyperderp_certificate_expires(renewal->certificate);
    int64_t days = certificate_days_left(renewal->certificate);
    const char *name = name_of(&renewal->source);
    char date[32] = "";
    struct tm tm;

    if (gmtime_r(&expires, &tm))
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", &tm);
    if (days < 0)
        log_print(HYPERDERP_LOG_WARN, "certificate %s: expired on %s: clients refuse it", name,
                  date);
    else if (days < WARN_DAYS)
        log_print(HYPERDERP_LOG_WARN,
                  "certificate %s: expires on %s, in %" PRId64 " days: renew it", name, date, days);
    else
        log_print(HYPERDERP_LOG_INFO, "certificate %s: expires on %s, in %" PRId64 " days", name,
                  date, days);
}

static void log_news(const struct certificate_source *source, enum certificate_news news)
{
    char host[256];

    certificate_host(source, host, sizeof(host));
    if (news == CERTIFICATE_MADE)
        log_print(HYPERDERP_LOG_INFO, "made a self-signed certificate for %s: %s", host,
                  name_of(source));
    else if (news != CERTIFICATE_READ)
        log_print(HYPERDERP_LOG_WARN,
                  "made a new self-signed certificate for %s, as the one in %s %s: its hash has "
                  "changed, and clients refuse it until their DERPMap has the new CertName",
                  host, name_of(source),
                  news == CERTIFICATE_EXPIRED ? "had expired" : "was for another host");
}

/* Clients know a self-signed certificate by its hash. */
static void log_pin(const struct renewal *renewal)
{
    char pin[CERTIFICATE_PIN_SIZE];

    if (hyperderp_certificate_is_self_signed(renewal->certificate) &&
        certificate_pin(renewal->certificate, pin) == 0)
        log_print(HYPERDERP_LOG_INFO, "certificate %s: self-signed; CertName in a DERPMap: %s",
                  name_of(&renewal->source), pin);
}

static void log_certificate(const struct renewal *renewal)
{
    const struct certificate_source *source = &renewal->source;

    log_pin(renewal);
    log_expiry(renewal);
    if (*source->host && !hyperderp_certificate_covers(renewal->certificate, source->host))
        log_print(HYPERDERP_LOG_WARN,
                  "certificate %s: it is not for tls.hostname, %s: clients that use that name "
                  "refuse it",
                  name_of(source), source->host);
    if (source->own && !*source->host)
        log_print(HYPERDERP_LOG_WARN, "tls.hostname is not set: set it to the name or IP address "
                                      "that clients use, and a certificate is made for that");
}

/* ---- The files ---- */

static struct renewal_stamp stamp_of(const char *file)
{
    struct stat info;

    if (!file || stat(file, &info) != 0)
        return (struct renewal_stamp){0};
    return (struct renewal_stamp){info.st_dev, info.st_ino, info.st_size, info.st_mtim,
                                  info.st_ctim};
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_stamp(const struct renewal_stamp *a, const struct renewal_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           same_time(a->modified, b->modified) && same_time(a->changed, b->changed);
}

/* Notes the files as they are now; false when that is how they were. Before they are read: a change
 * behind that is seen the next time. */
static bool note_files(struct renewal *renewal)
{
    struct renewal_stamp now[2] = {stamp_of(renewal->source.chain_file),
                                   stamp_of(renewal->source.key_file)};
    bool same = same_stamp(&now[0], &renewal->seen[0]) && same_stamp(&now[1], &renewal->seen[1]);

    memcpy(renewal->seen, now, sizeof(now));
    return !same;
}

/* ---- Changing ---- */

/* The certificate becomes the renewal's, and the relay's. 0, or -errno with the reason logged. */
static int put_in_use(struct renewal *renewal, hyperderp_certificate *certificate,
                      struct status *status)
{
    int error = hyperderp_relay_set_certificate(status->relay, -1, certificate);

    if (error) {
        log_print(HYPERDERP_LOG_ERROR, "certificate %s: the relay does not take it: %s",
                  name_of(&renewal->source), strerror(-error));
        hyperderp_certificate_free(certificate);
        return error;
    }
    hyperderp_certificate_free(renewal->certificate);
    renewal->certificate = certificate;
    status->certificate_expires = hyperderp_certificate_expires(certificate);
    status->certificate_reloads++;
    log_print(HYPERDERP_LOG_INFO, "another certificate is in use: %s", name_of(&renewal->source));
    log_certificate(renewal);
    return 0;
}

/* The files have changed: takes what they hold, or remembers why that is nothing. */
static void look_again(struct renewal *renewal, int64_t now_ms, struct status *status)
{
    hyperderp_certificate *fresh;

    if (certificate_read(&fresh, &renewal->source, renewal->fault) != 0) {
        renewal->bad = true;
        renewal->bad_since_ms = now_ms;
        return;
    }
    renewal->bad = false;
    if (hyperderp_certificate_equal(fresh, renewal->certificate))
        hyperderp_certificate_free(fresh);
    else if (put_in_use(renewal, fresh, status) != 0)
        status->certificate_reload_errors++;
}

/* Says once why the files hold no good pair. */
static void give_up(struct renewal *renewal, struct status *status)
{
    renewal->bad = false;
    status->certificate_reload_errors++;
    log_print(HYPERDERP_LOG_ERROR, "%s; the certificate that was read before stays in use",
              renewal->fault);
}

static void remind(struct renewal *renewal)
{
    int64_t today = (int64_t)time(NULL) / DAY_SECONDS;

    if (today == renewal->reminded)
        return;
    renewal->reminded = today;
    if (certificate_days_left(renewal->certificate) < WARN_DAYS)
        log_expiry(renewal);
}

void renewal_tick(struct renewal *renewal, int64_t now_ms, struct status *status)
{
    if (!renewal->certificate)
        return;
    if (note_files(renewal))
        look_again(renewal, now_ms, status);
    else if (renewal->bad && now_ms - renewal->bad_since_ms >= RENEWAL_SETTLE_MS)
        give_up(renewal, status);
    remind(renewal);
}

/* ---- Start, reload, end ---- */

static int open_source(struct renewal *renewal, const struct config *config, const char *key_file,
                       hyperderp_certificate **out)
{
    enum certificate_news news = CERTIFICATE_READ;

    int error = certificate_source_init(&renewal->source, &config->tls, key_file);
    if (error) {
        snprintf(renewal->fault, sizeof(renewal->fault), "certificate: %s", strerror(-error));
    } else {
        if (!renewal->source.own)
            (void)note_files(renewal);
        error = certificate_open(out, &renewal->source, &news, renewal->fault);
    }
    if (error)
        log_print(HYPERDERP_LOG_ERROR, "%s", renewal->fault);
    else
        log_news(&renewal->source, news);
    return error;
}

int renewal_start(struct renewal *renewal, const struct config *config, bool keep,
                  struct status *status)
{
    *renewal = (struct renewal){.reminded = (int64_t)time(NULL) / DAY_SECONDS};
    if (!config_has_tls(config))
        return STATUS_OK;
    int error = open_source(renewal, config, keep ? config->key_file : NULL, &renewal->certificate);
    if (error)
        return certificate_fault_is_config(&renewal->source, error) ? STATUS_CONFIG : STATUS_IO;
    status->certificate_expires = hyperderp_certificate_expires(renewal->certificate);
    log_certificate(renewal);
    return STATUS_OK;
}

int renewal_reload(struct renewal *renewal, const struct config *config, const char *key_file,
                   struct status *status)
{
    hyperderp_certificate *certificate = NULL;
    struct renewal fresh = {.reminded = renewal->reminded};

    if (!renewal->certificate)
        return 0; /* listeners come with a restart alone */
    int error = open_source(&fresh, config, key_file, &certificate);
    if (error == 0 && hyperderp_certificate_equal(certificate, renewal->certificate)) {
        fresh.certificate = certificate;
        log_certificate(&fresh);
    } else if (error == 0) {
        fresh.certificate = hyperderp_certificate_ref(renewal->certificate);
        error = put_in_use(&fresh, certificate, status);
    }
    if (error) {
        status->certificate_reload_errors++;
        renewal_free(&fresh);
        return error;
    }
    renewal_free(renewal);
    *renewal = fresh;
    return 0;
}

void renewal_free(struct renewal *renewal)
{
    hyperderp_certificate_free(renewal->certificate);
    certificate_source_free(&renewal->source);
    *renewal = (struct renewal){0};
}
