/*
 * Tags packets, sends them through a relay, and holds each that comes out against its tag: the right client or peer,
 * the right framing and source, every bit as it was, once, and not after its permission has ended.
 *
 *   soak SEED PACKETS WINDOW PLANT < COMMANDS > EVENTS
 *
 * Whoever drives it makes allocations by what `say` and `heard` carry, and says what is open. Commands, one a line:
 *   peer ID HOST                          opens a peer, which answers nobody and sends to whom it may
 *   client ID udp|tcp HOST SERVER PORT    opens a client, connected to the server
 *   say ID HEX                            a client sends a message as it stands
 *   flow ID CLIENT PEER NUMBER HOST PORT HEX   packets may pass between them from now on: by channel NUMBER, or 0;
 *                                         HOST PORT is the relayed address, HEX a Send indication without its data
 *   end ID NS WAY                         they may not from then on (CLOCK_MONOTONIC), by that way of ending: what is
 *                                         sent a second later and arrives is a finding. It is still tried.
 *   forget ID                             it is tried no more
 *   close ID                              a client is gone
 *   stop                                  reports and ends
 * Events: `opened ID PORT`, `heard ID HEX`, `closed ID`, `progress TEXT`, `enough` when PACKETS have been sent,
 * `finding TEXT`, and `report JSON`. WINDOW packets are under way at any time. PLANT is none, or what the checker has to
 * see: wrong sends some packets by another's way, altered changes a bit of some, late speaks of ends that never were.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/tcp.h>

#include "soak_wires.h"

enum { EVENTS = 128, LINE = 8192 };
#define PROGRESS_NS 10000000000ull

/* Commands */

static size_t unhex(const char *text, unsigned char *bytes, size_t most) {
    size_t length = 0;
    for (unsigned value; length < most && sscanf(text + 2 * length, "%2x", &value) == 1; length++)
        bytes[length] = (unsigned char)value;
    return length;
}

static struct end *new_end(uint32_t id, int domain, int type) {
    if (id >= end_count) {
        ends = realloc(ends, (id + 1) * sizeof *ends);
        for (; end_count <= id; end_count++) ends[end_count] = (struct end){.fd = -1};
    }
    struct end *end = &ends[id];
    *end = (struct end){.fd = socket(domain, type, 0), .is_stream = type == SOCK_STREAM};
    if (end->fd < 0) fail("socket");
    return end;
}

static void open_end(uint32_t id, const char *host, const char *transport, const char *server, unsigned port) {
    struct sockaddr_in6 local = parse_address(host, 0);
    int one = 1, room = 1 << 20, is_stream = transport && !strcmp(transport, "tcp");
    struct end *end = new_end(id, local.sin6_family, is_stream ? SOCK_STREAM : SOCK_DGRAM);
    socklen_t size = sizeof end->address;
    if (bind(end->fd, (struct sockaddr *)&local, size_of(&local))) fail("bind");
    setsockopt(end->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (server) {
        struct sockaddr_in6 to = parse_address(server, port);
        if (connect(end->fd, (struct sockaddr *)&to, size_of(&to))) fail("connect");
        end->is_client = 1;
    }
    if (is_stream) {
        setsockopt(end->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        end->in = malloc(STREAM);
        end->out = malloc(STREAM);
    }
    getsockname(end->fd, (struct sockaddr *)&end->address, &size);
    watch(id, 0);
    printf("opened %u %u\n", id, ntohs(end->address.sin6_port));
    told++;
}

static void say(uint32_t id, const char *text) {
    unsigned char message[LINE / 2];
    size_t length = unhex(text, message, sizeof message);
    if (id >= end_count || ends[id].fd < 0) return;
    if (ends[id].is_stream) {
        append(&ends[id], message, length);
        write_stream(id);
    } else if (send(ends[id].fd, message, length, MSG_DONTWAIT) < 0 && errno == ECONNREFUSED) {
        printf("closed %u\n", id);
        told++;
    }
}

static void begin_flow(const char *line) {
    uint32_t id, client, peer, number;
    unsigned port;
    char host[64], prefix[256];
    if (sscanf(line, "flow %u %u %u %u %63s %u %255s", &id, &client, &peer, &number, host, &port, prefix) != 7 ||
        id != flow_count || client >= end_count || peer >= end_count)
        fail(line);
    flows = realloc(flows, (flow_count + 1) * sizeof *flows);
    living = realloc(living, (flow_count + 1) * sizeof *living);
    struct flow *flow = &flows[flow_count];
    *flow = (struct flow){.client = client, .peer = peer, .number = number, .moved_at = now};
    flow->relayed = parse_address(host, port);
    flow->prefix_length = unhex(prefix, flow->prefix, sizeof flow->prefix);
    living[living_count++] = flow_count++;
}

static void forget(uint32_t id) {
    struct flow *flow = &flows[id];
    if (flow->is_forgotten) return;
    flow->is_forgotten = 1;
    under_way -= flow->under_way[UP] + flow->under_way[DOWN];
    flow->under_way[UP] = flow->under_way[DOWN] = 0;
    for (uint32_t i = 0; i < living_count; i++)
        if (living[i] == id) living[i] = living[--living_count];
}

static void report(uint64_t began) {
    uint64_t deaf = 0, ended = 0;
    for (uint32_t i = 0; i < flow_count; i++) {
        struct flow *flow = &flows[i];
        ended += flow->ends_at > 0;
        for (int way = UP; way <= DOWN; way++) deaf += flow->next[way] - flow->after_end[way] > 200 && !flow->arrived[way];
    }
    printf("report {\"seconds\": %.3f, \"sent\": %lu, \"delivered_to_peer\": %lu, \"delivered_to_client\": %lu, "
           "\"lost\": %lu, \"tried_after_end\": %lu, \"arrived_within_grace\": %lu, \"flows\": %u, "
           "\"flows_ended\": %lu, \"deaf\": %lu, \"ends\": %u, \"findings\": %lu}\n",
           (double)(now - began) / 1e9, sent, delivered[UP], delivered[DOWN], lost, tried, late_allowed, flow_count,
           ended, deaf, end_count, findings);
    fflush(stdout);
}

/* Returns whether to go on. */
static int obey(const char *line) {
    uint32_t id = 0;
    unsigned port;
    unsigned long at;
    char word[16], transport[8], host[64], server[64], way[16];
    int used = 0;
    if (sscanf(line, "%15s %u %n", word, &id, &used) < 1) return 1;
    if (!strcmp(word, "stop")) return 0;
    if (!strcmp(word, "peer") && sscanf(line + used, "%63s", host) == 1)
        open_end(id, host, NULL, NULL, 0);
    else if (!strcmp(word, "client") && sscanf(line + used, "%7s %63s %63s %u", transport, host, server, &port) == 4)
        open_end(id, host, transport, server, port);
    else if (!strcmp(word, "say"))
        say(id, line + used);
    else if (!strcmp(word, "flow"))
        begin_flow(line);
    else if (!strcmp(word, "end") && id < flow_count && sscanf(line + used, "%lu %15s", &at, way) == 2)
        flows[id].ends_at = at, strcpy(flows[id].ended_by, way);
    else if (!strcmp(word, "forget") && id < flow_count)
        forget(id);
    else if (!strcmp(word, "close") && id < end_count)
        shut(id);
    else
        fail(line);
    /* An end that never was: the first flow is said to have ended when it has just begun. */
    if (plant == LATE && !strcmp(word, "flow")) flows[id].ends_at = id % 4 ? 0 : now;
    return 1;
}

static int obey_all(void) {
    static char lines[1 << 16];
    static size_t length;
    ssize_t count = read(0, lines + length, sizeof lines - length - 1);
    if (count == 0) exit(1); /* whoever drove this is gone */
    if (count < 0) return 1;
    length += (size_t)count;
    lines[length] = 0;
    char *start = lines;
    for (char *end; (end = strchr(start, '\n')); start = end + 1) {
        *end = 0;
        if (!obey(start)) return 0;
    }
    memmove(lines, start, length -= (size_t)(start - lines));
    return 1;
}

static const char *const plants[] = {"none", "wrong", "altered", "late"};

int main(int argc, char **argv) {
    if (argc != 5) return fprintf(stderr, "usage: soak SEED PACKETS WINDOW PLANT < COMMANDS > EVENTS\n"), 2;
    seed = random_state = strtoull(argv[1], NULL, 10);
    target = strtoull(argv[2], NULL, 10);
    window = strtoull(argv[3], NULL, 10);
    for (int word = NONE; word <= LATE; word++)
        if (!strcmp(argv[4], plants[word])) plant = word;
    epoll = epoll_create1(0);
    struct epoll_event events[EVENTS], commands = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    fcntl(0, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &commands)) fail("epoll: commands");
    uint64_t began = read_clock(CLOCK_MONOTONIC), looked_at = began;
    uint64_t told_at = began;
    for (int is_enough = 0, goes_on = 1; goes_on;) {
        int count = epoll_wait(epoll, events, EVENTS, 1);
        now = read_clock(CLOCK_MONOTONIC);
        for (int i = 0; i < count; i++) {
            uint32_t id = events[i].data.u32;
            if (id == UINT32_MAX)
                goes_on = obey_all();
            else if (ends[id].fd >= 0 && ends[id].is_stream) {
                if (events[i].events & EPOLLOUT) write_stream(id);
                read_stream(id);
            } else if (ends[id].fd >= 0)
                read_datagrams(id);
        }
        if (sent < target)
            send_some();
        else if (!is_enough && (is_enough = 1))
            printf("enough\n"), told++;
        if (now - looked_at > STALL_NS / 4) give_up(), looked_at = now;
        if (now - told_at > PROGRESS_NS) {
            printf("progress %lu of %lu sent, %u flows, %lu findings\n", sent, target, flow_count, findings);
            told_at = now, told++;
        }
        if (told) fflush(stdout), told = 0;
    }
    report(began);
    return 0;
}
