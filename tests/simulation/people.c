/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients of the simulation, on the project's own client without sockets. */
#include "people.h"

#include <sodium.h>
#include <string.h>

#include "choice.h"
#include "client/client.h"
#include "ledger.h"
#include "network.h"
#include "report.h"
#include "schedule.h"
#include "transport.h"
#include "wire/frame.h"

#define NS_PER_US 1000

/* What a client keeps unsent before it makes up more. */
#define MAX_UNSENT 262144

struct person {
    unsigned self; /* whose key it has */
    int64_t due;
    struct wire *wire; /* NULL: not connected */
    unsigned conn;     /* of the ledger */
    struct client derp;
    bool broken;   /* what it sends is no DERP any more */
    bool stranger; /* it never was any */
    bool muted;    /* reads for the ledger alone */
    int64_t deaf_until;
    unsigned relay; /* that it is connected to */
    bool mesh;      /* a mesh partner */
    bool watches;
    unsigned others; /* connection of the ledger for what it forwards, of this client: */
    unsigned other;
    struct transport transport;
    struct bytes input; /* of DERP, not understood yet */
    struct ledger_inbox *inbox;
};

static struct people_settings settings;
static hyperderp_private_key private_keys[PEOPLE_MAX];
static hyperderp_key keys[PEOPLE_MAX];

/* Those that have left stay, as the ledger still hears of what was sent to them. */
static struct person *left[LEDGER_CONNS];
static unsigned left_count;
static struct person *people[PEOPLE_MAX];
static bool going_home;

void people_make(void)
{
    for (unsigned i = 0; i < PEOPLE_MAX; i++) {
        memset(private_keys[i].bytes, (int)i + 1, sizeof(private_keys[i].bytes));
        hyperderp_private_key_public(&private_keys[i], &keys[i]);
    }
}

const hyperderp_key *people_key(unsigned client)
{
    return &keys[client];
}

unsigned people_count(void)
{
    return settings.count;
}

static unsigned owner_of(const hyperderp_key *key)
{
    for (unsigned i = 0; i < PEOPLE_MAX; i++)
        if (memcmp(&keys[i], key, sizeof(*key)) == 0)
            return i;
    report_failure("the relay tells of a key that nobody has");
}

static bool is_relay(const hyperderp_key *key)
{
    for (unsigned i = 0; i < settings.relays; i++)
        if (memcmp(&settings.relay_keys[i], key, sizeof(*key)) == 0)
            return true;
    return false;
}

static void pause_for(struct person *person, unsigned us)
{
    person->due = schedule_now() + (int64_t)script_size(us) * NS_PER_US;
}

void people_begin(const struct people_settings *given)
{
    settings = *given;
    going_home = false;
    left_count = 0;
    for (unsigned i = 0; i < settings.count; i++) {
        people[i] = world_alloc(sizeof(struct person));
        people[i]->self = i;
        pause_for(people[i], settings.pause_us);
    }
}

/* ---- What comes ------------------------------------------------------------------------------ */

static void say(struct person *person, const void *bytes, size_t len)
{
    if (!person->muted)
        transport_say(&person->transport, bytes, len);
}

static void answer(struct person *person, const struct client_message *message)
{
    uint8_t frame[CLIENT_MAX_REQUEST];
    ssize_t size;

    switch (message->type) {
    case CLIENT_MESSAGE_SEND_INFO:
        size = client_info_frame(&person->derp, frame, sizeof(frame));
        if (size < 0)
            report_failure("a client cannot make its ClientInfo: %zd", size);
        say(person, frame, (size_t)size);
        break;
    case CLIENT_MESSAGE_PACKET:
        ledger_receive(person->inbox, person->self, owner_of(&message->peer), message->payload,
                       message->len);
        report.packets_got++;
        break;
    case CLIENT_MESSAGE_PING:
        say(person, frame, frame_encode_pong(frame, message->payload));
        break;
    case CLIENT_MESSAGE_PEER_GONE:
    case CLIENT_MESSAGE_PEER_PRESENT:
        if (!is_relay(&message->peer))
            (void)owner_of(&message->peer);
        break;
    case CLIENT_MESSAGE_OTHER:
        report_failure("client %u gets a frame of type %#x", person->self, message->frame_type);
    default:
        break;
    }
}

/* Everything that has come is understood, or nothing is. */
static void read_input(struct person *person)
{
    struct client_message message;
    ssize_t used = 1;

    while (used > 0 && bytes_count(&person->input) > 0) {
        used = client_read(&person->derp, bytes_data(&person->input), bytes_count(&person->input),
                           &message);
        if (used < 0 && !person->broken)
            report_failure("client %u, connection %u: what comes is no DERP (%zd)", person->self,
                           person->conn, used);
        if (used < 0) {
            trace("client %u, connection %u reads no more (%zd)", person->self, person->conn, used);
            bytes_take(&person->input, bytes_count(&person->input));
            return;
        }
        bytes_take(&person->input, (size_t)used);
        if (message.type != CLIENT_MESSAGE_NONE)
            answer(person, &message);
    }
}

static void hear(struct person *person, const uint8_t *bytes, size_t len)
{
    trace("client %u, connection %u hears %zu bytes", person->self, person->conn, len);
    transport_hear(&person->transport, bytes, len, &person->input);
    if (person->transport.fault && !person->broken)
        report_failure("client %u, connection %u: %s", person->self, person->conn,
                       person->transport.fault);
    read_input(person);
}

static void hear_afterwards(void *user, const uint8_t *bytes, size_t len)
{
    hear(user, bytes, len);
}

/* ---- Connections ----------------------------------------------------------------------------- */

/* What it says first. */
static void greet(struct person *person)
{
    uint8_t request[CLIENT_MAX_REQUEST + 64];
    bool websocket = script_one_in(settings.websocket_one_in);
    struct client_options options = {
        .private_key = private_keys[person->self],
        .host = "relay.example",
        .info = {.version = DERP_PROTOCOL_VERSION,
                 .can_ack_pings = script_one_in(2),
                 .has_mesh_key = person->mesh},
        .fast_start = !websocket && script_one_in(2),
        .server_key = settings.relay_keys[person->relay],
    };

    if (person->mesh)
        memcpy(options.info.mesh_key, settings.mesh_key, sizeof(options.info.mesh_key));
    transport_begin(&person->transport, settings.proxied, settings.tls, websocket);
    if (client_init(&person->derp, &options) != 0)
        report_failure("a client cannot begin");
    ssize_t size = client_request(&person->derp, request, sizeof(request));
    if (size < 0)
        report_failure("a client cannot make its request: %zd", size);
    if (!websocket)
        say(person, request, (size_t)size);
    trace("client %u connects: connection %u%s%s%s", person->self, person->conn,
          person->mesh ? ", of a mesh partner" : "", settings.tls ? ", by TLS" : "",
          websocket ? ", by WebSocket" : "");
}

/* What is said from now on is no DERP of the ledger's. */
static void break_rules(struct person *person)
{
    person->broken = true;
    ledger_break(person->conn);
    ledger_break(person->others);
}

/* Knows no protocol, and says whatever bytes the script has. */
static void be_a_stranger(struct person *person)
{
    trace("client %u connects as a stranger: connection %u", person->self, person->conn);
    person->stranger = true;
    transport_begin(&person->transport, false, false, false);
    break_rules(person);
}

static void connect_to_relay(struct person *person)
{
    if (script_one_in(settings.same_key_one_in))
        person->self = script_below(settings.count);
    person->mesh = script_one_in(settings.mesh_one_in);
    person->relay = script_below(settings.relays);
    person->other = script_below(settings.count);
    person->conn = ledger_connect(person->self);
    person->others = ledger_connect(person->other);
    if (person->others == LEDGER_CONNS)
        return;
    person->wire = wire_connect(person->relay, 0x0a000001 + script_below(4));
    if (!person->wire)
        return;
    person->wire->afterwards = hear_afterwards;
    person->wire->user = person;
    person->inbox = world_alloc(sizeof(*person->inbox));
    if (script_one_in(settings.stranger_one_in))
        be_a_stranger(person);
    else
        greet(person);
    report.connections++;
}

/* Its place is taken by one that is not connected. */
static void leave(unsigned at)
{
    struct person *person = people[at];

    trace("client %u has left connection %u", person->self, person->conn);
    person->muted = true;
    left[left_count++] = person;
    people[at] = world_alloc(sizeof(struct person));
    people[at]->self = person->self;
    pause_for(people[at], settings.pause_us * 8);
}

static void hang_up(unsigned at)
{
    struct person *person = people[at];

    person->muted = true;
    if (script_one_in(2))
        wire_reset(person->wire);
    else
        wire_close(person->wire);
    leave(at);
}

/* ---- What is said ---------------------------------------------------------------------------- */

static void send_packet(struct person *person)
{
    unsigned to = script_below(settings.count);
    bool disco = script_one_in(4), forward = person->mesh && script_one_in(2);
    uint32_t len = disco ? script_between(LEDGER_MIN_DISCO, LEDGER_MAX_DISCO)
                         : script_size(settings.max_packet);
    size_t head = forward ? FRAME_FORWARD_OVERHEAD : FRAME_PACKET_OVERHEAD;
    uint8_t *frame = world_alloc(head + len);

    if (forward) {
        frame_header_encode(frame, FRAME_FORWARD_PACKET,
                            (uint32_t)(head - FRAME_HEADER_SIZE + len));
        memcpy(frame + FRAME_HEADER_SIZE, &keys[person->other], HYPERDERP_KEY_SIZE);
        memcpy(frame + FRAME_HEADER_SIZE + HYPERDERP_KEY_SIZE, &keys[to], HYPERDERP_KEY_SIZE);
    } else {
        client_packet_header(frame, &keys[to], len);
    }
    ledger_send(forward ? person->others : person->conn, to, disco, frame + head, len);
    say(person, frame, head + len);
    world_free(frame);
    report.packets_sent++;
}

static void be_partner(struct person *person)
{
    uint8_t frame[FRAME_HEADER_SIZE + HYPERDERP_KEY_SIZE];

    if (!person->watches && script_one_in(4)) {
        person->watches = true;
        frame_header_encode(frame, FRAME_WATCH_CONNS, 0);
        say(person, frame, FRAME_HEADER_SIZE);
    }
    if (script_one_in(32)) {
        frame_header_encode(frame, FRAME_CLOSE_PEER, HYPERDERP_KEY_SIZE);
        memcpy(frame + FRAME_HEADER_SIZE, &keys[script_below(settings.count)], HYPERDERP_KEY_SIZE);
        say(person, frame, sizeof(frame));
    }
}

static void send_small_frame(struct person *person)
{
    uint8_t frame[64] = {0};
    uint8_t type = script_one_in(2) ? FRAME_PING : FRAME_NOTE_PREFERRED;
    uint32_t len = type == FRAME_PING ? FRAME_PING_SIZE : 1;

    frame_header_encode(frame, type, len);
    frame[FRAME_HEADER_SIZE] = (uint8_t)script_below(2);
    say(person, frame, FRAME_HEADER_SIZE + len);
}

/* Breaks off a frame, or sends what is none. */
static void be_rude(struct person *person)
{
    uint8_t noise[64];

    trace("client %u is rude", person->self);
    break_rules(person);
    if (!person->stranger && script_one_in(2) && bytes_count(&person->transport.output) > 1) {
        person->transport.output.end -=
            script_below((uint32_t)bytes_count(&person->transport.output));
        return;
    }
    uint32_t len = script_between(1, sizeof(noise));
    for (uint32_t i = 0; i < len; i++)
        noise[i] = (uint8_t)script_below(256);
    bytes_add(&person->transport.output, noise, len);
}

static void speak(struct person *person)
{
    bool joined = person->derp.state == CLIENT_OPEN || person->derp.state == CLIENT_INFO;

    if (going_home)
        return;
    if (person->stranger ? script_one_in(2) : script_one_in(settings.rude_one_in))
        be_rude(person);
    if (!joined || person->broken || bytes_count(&person->transport.output) > MAX_UNSENT)
        return;
    if (script_one_in(8))
        send_small_frame(person);
    if (person->mesh)
        be_partner(person);
    for (uint32_t n = script_below(2) * script_size(16); n > 0; n--)
        send_packet(person);
}

static void write_output(struct person *person)
{
    size_t len = bytes_count(&person->transport.output);

    if (len > 1 && script_one_in(8))
        len = script_size((uint32_t)len);
    if (len > 0)
        bytes_take(&person->transport.output,
                   wire_write(person->wire, bytes_data(&person->transport.output), len));
}

/* ---- Acts ------------------------------------------------------------------------------------ */

static void listen_to(struct person *person)
{
    size_t len = wire_readable(person->wire);

    if (settings.slow && !going_home && script_one_in(16))
        person->deaf_until = schedule_now() + (int64_t)script_size(40000000) * NS_PER_US;
    if (person->deaf_until > schedule_now() && !going_home)
        return;
    if (len > 1 && script_one_in(4))
        len = script_size((uint32_t)len);
    if (len == 0)
        return;
    uint8_t *bytes = world_alloc(len);
    (void)wire_read(person->wire, bytes, len);
    hear(person, bytes, len);
    world_free(bytes);
}

static void act(unsigned at)
{
    struct person *person = people[at];

    pause_for(person, settings.pause_us);
    if (!person->wire) {
        if (!going_home)
            connect_to_relay(person);
        return;
    }
    listen_to(person);
    if (wire_is_over(person->wire)) {
        wire_close(person->wire);
        leave(at);
    } else if (!going_home && script_one_in(settings.leave_one_in)) {
        hang_up(at);
    } else {
        speak(person);
        write_output(person);
    }
}

bool people_act(void)
{
    unsigned able[PEOPLE_MAX], count = 0;

    for (unsigned i = 0; i < settings.count; i++)
        if (people[i]->due <= schedule_now() && (people[i]->wire || !going_home))
            able[count++] = i;
    if (count > 0)
        act(able[chance_below(count)]);
    return count > 0;
}

int64_t people_next(void)
{
    int64_t first = SCHEDULE_NEVER;

    for (unsigned i = 0; i < settings.count; i++)
        if ((people[i]->wire || !going_home) && people[i]->due < first)
            first = people[i]->due;
    return first;
}

void people_go_home(void)
{
    going_home = true;
}

static void free_person(struct person *person)
{
    client_wipe(&person->derp);
    bytes_clear(&person->input);
    transport_end(&person->transport);
    world_free(person->inbox);
    world_free(person);
}

void people_end(void)
{
    for (unsigned i = 0; i < settings.count; i++) {
        if (people[i]->wire)
            wire_close(people[i]->wire); /* what has come and was not read */
        free_person(people[i]);
    }
    for (unsigned i = 0; i < left_count; i++)
        free_person(left[i]);
}
