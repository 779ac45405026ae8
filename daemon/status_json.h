/* SPDX-License-Identifier: BSD-3-Clause */
/* What the web server tells as JSON. Each returns an object, or NULL without memory. Any thread. */
#ifndef DAEMON_STATUS_JSON_H
#define DAEMON_STATUS_JSON_H

#include <stdbool.h>

#include <jansson.h>

#include "history.h"
#include "status.h"

/* Whether the daemon does its work: not while it drains, nor with a stuck worker. */
bool status_is_healthy(const struct status *status);

json_t *status_json_health(const struct status *status);
/* The figures of this moment and of the last minutes: what the status page shows. */
json_t *status_json_page(const struct status *status, struct history *history);

json_t *status_json_peers(const struct status *status);
json_t *status_json_workers(const struct status *status);
json_t *status_json_mesh(const struct status *status);

#endif
