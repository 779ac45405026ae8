/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets between the nodes of a region: those that a mesh partner forwards to a client here, and
 * those of a client here for a key at a mesh partner. The former go to connections of this relay
 * alone, never on to another link: so no packet can run in circles.
 */
#ifndef RELAY_FORWARD_MESH_H
#define RELAY_FORWARD_MESH_H

#include "relay/conn.h"
#include "relay/sink.h"

/* Passes on a whole ForwardPacket frame of a mesh partner, as forward.h does with SendPacket. */
void forward_mesh_chunk(struct conn *conn, struct io_chunk *chunk, uint8_t *bytes, size_t size);
void forward_mesh_frame(struct conn *conn, struct frame *frame);

/* Sends a SendPacket frame of a key here by the link that leads to its destination; the frame is
 * left as it is. */
void forward_to_link(struct worker *worker, const hyperderp_key *from, struct sink *link,
                     const uint8_t *bytes, size_t size, enum frame_kind kind);

/* Lets go of the senders and destinations that a mesh partner's connection has at hand. */
void forward_mesh_forget(struct conn *conn);

#endif
