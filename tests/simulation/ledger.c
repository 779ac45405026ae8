/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets that can be told apart. */
#include "ledger.h"

#include <string.h>

#include "memory.h"
#include "report.h"
#include "sabotage.h"
#include "wire/frame.h"

#define MAGIC          0x53494d31
#define SMALL_BYTE     0x5a
#define DISCO_OVERHEAD 62 /* magic, key, nonce */

struct tag {
    uint32_t magic;
    uint16_t conn, to;
    uint32_t number;
    uint32_t len;
    uint64_t fill; /* begins the bytes behind */
};
_Static_assert(sizeof(struct tag) == LEDGER_MIN_DATA, "has no holes");

struct sender {
    unsigned client;
    bool broken;
    uint32_t sent;
    uint8_t *seen; /* one byte a packet */
    size_t room;
};

static struct sender senders[LEDGER_CONNS];
static unsigned count;
static uint64_t sent, received;

void ledger_begin(void)
{
    count = 0;
    sent = received = 0;
}

void ledger_end(void)
{
    for (unsigned i = 0; i < count; i++)
        world_free(senders[i].seen);
    memset(senders, 0, count * sizeof(*senders));
}

unsigned ledger_connect(unsigned client)
{
    if (count == LEDGER_CONNS)
        return LEDGER_CONNS;
    senders[count] = (struct sender){.client = client};
    return count++;
}

void ledger_break(unsigned conn)
{
    senders[conn].broken = true;
}

/* Whether one of the client's connections has sent something else than packets of the ledger. */
static bool has_broken(unsigned client)
{
    for (unsigned i = 0; i < count; i++)
        if (senders[i].client == client && senders[i].broken)
            return true;
    return false;
}

static uint64_t fill_of(const struct tag *tag)
{
    uint64_t value = ((uint64_t)tag->conn << 32 | tag->number) * 0x9e3779b97f4a7c15;
    return value ^ value >> 29 ^ tag->len;
}

/* A byte of the rest: other ones for each packet, and each place. */
static uint8_t byte_at(uint64_t fill, size_t at)
{
    return (uint8_t)((fill + at * 0x9e3779b1) >> 24);
}

void ledger_send(unsigned conn, unsigned to, bool disco, uint8_t *out, size_t len)
{
    static const uint8_t magic[6] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};
    struct sender *sender = &senders[conn];
    size_t begin = 0;

    sent++;
    if (disco) {
        memcpy(out, magic, sizeof(magic));
        memset(out + sizeof(magic), SMALL_BYTE, DISCO_OVERHEAD - sizeof(magic));
        begin = DISCO_OVERHEAD;
    }
    if (len - begin < sizeof(struct tag)) {
        memset(out + begin, SMALL_BYTE, len - begin);
        return;
    }
    struct tag tag = {.magic = MAGIC,
                      .conn = (uint16_t)conn,
                      .to = (uint16_t)to,
                      .number = ++sender->sent,
                      .len = (uint32_t)len};
    tag.fill = fill_of(&tag);
    memcpy(out + begin, &tag, sizeof(tag));
    for (size_t i = begin + sizeof(tag); i < len; i++)
        out[i] = byte_at(tag.fill, i);
    if (sender->sent >= sender->room) {
        size_t room = sender->room ? sender->room * 2 : 64;
        sender->seen = world_grow(sender->seen, room);
        memset(sender->seen + sender->room, 0, room - sender->room);
        sender->room = room;
    }
}

static bool is_small(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i] != SMALL_BYTE)
            return false;
    return true;
}

static bool is_whole(const struct tag *tag, const uint8_t *bytes, size_t begin, size_t len)
{
    if (tag->magic != MAGIC || tag->conn >= count || tag->len != len || tag->fill != fill_of(tag) ||
        tag->number > senders[tag->conn].sent)
        return false;
    for (size_t i = begin + sizeof(*tag); i < len; i++)
        if (bytes[i] != byte_at(tag->fill, i))
            return false;
    return true;
}

void ledger_receive(struct ledger_inbox *inbox, unsigned client, unsigned from,
                    const uint8_t *bytes, size_t len)
{
    bool disco = packet_is_disco(bytes, len);
    size_t begin = disco ? DISCO_OVERHEAD : 0;
    struct tag tag;

    received += !sabotage_now(SABOTAGE_LOSE_PACKET);
    if (len - begin >= sizeof(tag))
        memcpy(&tag, bytes + begin, sizeof(tag));
    if (len - begin < sizeof(tag) ? !is_small(bytes + begin, len - begin)
                                  : !is_whole(&tag, bytes, begin, len)) {
        if (!has_broken(from))
            report_failure("client %u gets a packet of %zu bytes of client %u that was never sent",
                           client, len, from);
        return;
    }
    if (len - begin < sizeof(tag))
        return;
    struct sender *sender = &senders[tag.conn];
    trace("client %u gets %s %u of connection %u, client %u", client, disco ? "disco" : "packet",
          tag.number, tag.conn, from);
    if (tag.to != client || sender->client != from)
        report_failure("client %u gets a packet of client %u as if of %u, that was for %u", client,
                       sender->client, from, tag.to);
    if (sender->seen[tag.number]++)
        report_failure("packet %u of connection %u comes twice", tag.number, tag.conn);
    uint32_t *last = &inbox->last[tag.conn][disco];
    if (tag.number < *last)
        report_failure("packet %u of connection %u comes behind %u", tag.number, tag.conn, *last);
    *last = tag.number + (sabotage_now(SABOTAGE_SWAP) ? 2 : 0);
}

uint64_t ledger_sent(void)
{
    return sent;
}

uint64_t ledger_received(void)
{
    return received;
}
