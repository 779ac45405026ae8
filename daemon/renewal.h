/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The certificate in use, and how it becomes another one: on SIGHUP, and when its files change. The
 * main thread alone.
 */
#ifndef DAEMON_RENEWAL_H
#define DAEMON_RENEWAL_H

#include <sys/stat.h>

#include "certificate.h"
#include "status.h"

/* So long files may hold no good pair before that is a fault: programs that renew replace one after
 * the other. */
#define RENEWAL_SETTLE_MS 3000

/* What tells one state of a file from another. */
struct renewal_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct renewal {
    struct certificate_source source;
    hyperderp_certificate *certificate; /* in use; NULL: no listener has TLS */
    struct renewal_stamp seen[2];       /* the files when they were last read */
    bool bad;                           /* they hold no good pair, and the log has not said so */
    int64_t bad_since_ms;
    char fault[CERTIFICATE_FAULT]; /* why not */
    int64_t reminded;              /* the day, since the epoch, of the last warning */
};

/* Reads or makes the certificate where a listener has TLS, and logs what it is. keep: files may be
 * written. STATUS_OK or the exit status; freed in each case. */
int renewal_start(struct renewal *renewal, const struct config *config, bool keep,
                  struct status *status);

/* Takes the certificate of another configuration; key_file is that of the running relay. 0, or
 * -errno with the reason logged: then nothing has changed. */
int renewal_reload(struct renewal *renewal, const struct config *config, const char *key_file,
                   struct status *status);

/* Looks whether the files are others, and reads them then; warns each day while the certificate is
 * about to expire. Once a second; the time is of any clock that only goes forward. */
void renewal_tick(struct renewal *renewal, int64_t now_ms, struct status *status);

void renewal_free(struct renewal *renewal);

#endif
