/* SPDX-License-Identifier: BSD-3-Clause */
/* The other nodes of the region: from the configuration to the relay. */
#ifndef DAEMON_MESH_H
#define DAEMON_MESH_H

#include <hyperderp/mesh.h>

#include "config.h"

/* Adds all nodes. 0 or the relay's error, which is logged. */
int mesh_begin(hyperderp_relay *relay, const struct config_mesh *mesh);

/* Goes over from the nodes of one configuration to those of another. On error, which is logged, the
 * relay has those that it had. */
int mesh_change(hyperderp_relay *relay, const struct config_mesh *before,
                const struct config_mesh *after);

#endif
