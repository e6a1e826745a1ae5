/*
 * Load for a relay: plays its clients and their peer at once, in a closed window, and counts what arrives.
 *
 * The sockets come from the parent, which has made the allocations on them already: clients' sockets are connected to
 * the relay, the peer's is bound. Both ends being here, every packet is counted where it arrives, and a lost one is
 * known by the gap that it leaves.
 *
 *   generator load < PLAN    prints one JSON object (see `report`)
 *   generator echo FD        sends back what comes in, for ever: the relay without the relaying
 *
 * PLAN, words separated by white space:
 *   both|up|down  PAYLOAD_BYTES  WINDOW  WARM_UP_SECONDS  SECONDS  RELAY_PID  DEVICE_PIDS  PEER_FD  TRAIN  RATE  CLIENTS
 *   and for each client:  FD  RELAY_HOST  RELAY_PORT  PREFIX_HEX  SKIPPED_BYTES
 * WINDOW packets are under way at any time, those of all clients together; TRAIN of one sender leave together, as one
 * buffer that the kernel cuts, which is how they look to a relay behind a card that merges them. RATE packets a second
 * leave at equal distances, and each round trip is timed; 0 is as many as the window lets. DEVICE_PIDS are the threads of
 * the kernel that receive for the relay, with commas, "-" is none. PEER_FD -1 means that the relay itself echoes. PREFIX goes in front of each payload of a client, "-" is none; SKIPPED_BYTES stand in front of each payload
 * that it gets.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clocks.h"

enum { BATCH = 64, MOST_BYTES = 2048, MOST_PREFIX = 64, EVENTS = 256, MOST_TRAIN = 65000, MOST_TEXT = 256 };
enum { STALL_NS = 500 * 1000 * 1000 };
enum direction { BOTH, UP, DOWN };

/* What every payload begins with. */
struct tag {
    uint32_t client;
    uint32_t run;
    uint64_t number, sent_at;
};

struct client {
    int fd;
    struct sockaddr_storage relay;
    socklen_t relay_length;
    unsigned char prefix[MOST_PREFIX];
    size_t prefix_length, skipped;
    uint64_t next;     /* number of the next packet to send */
    uint64_t awaited;  /* lowest number that has not come back */
    uint64_t moved_at; /* when it last had nothing under way, or something came back */
};

struct counters {
    uint64_t sent, to_peer, to_client, lost, strange;
};

static enum direction direction;
static size_t payload_bytes;
static uint64_t window, under_way;
static unsigned train;
static int peer_fd;
static struct client *clients;
static uint32_t client_count;
static struct counters counters;
static uint64_t now, interval, next_due;
static uint32_t *round_trips; /* nanoseconds */
static size_t timed, most_timed;
static uint32_t run; /* tells this run's packets from an earlier one's on the same sockets */

static unsigned char arena[BATCH][MOST_BYTES];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];
static struct sockaddr_storage names[BATCH];

static int receive(int fd) {
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){arena[i], MOST_BYTES};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    return count < 0 ? 0 : count;
}

/* Sends the first `count` messages; what the kernel does not take is lost, as any other packet can be. */
static void send_all(int fd, int count) {
    for (int done = 0; done < count;) {
        int taken = sendmmsg(fd, messages + done, (unsigned)(count - done), 0);
        done += taken > 0 ? taken : 1;
    }
    counters.sent += (uint64_t)count;
}

/* Makes one message of `count` packets from the first vector on, which the kernel cuts where they meet. */
static void couple(struct client *client, int from_peer, int count, size_t segment) {
    static union {
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr aligned;
    } control;
    struct msghdr *header = &messages[0].msg_hdr;
    *header = (struct msghdr){.msg_iov = vectors, .msg_iovlen = (size_t)count};
    if (from_peer) {
        header->msg_name = &client->relay;
        header->msg_namelen = client->relay_length;
    }
    if (count < 2) return;
    header->msg_control = &control;
    header->msg_controllen = sizeof control.bytes;
    struct cmsghdr *cut = CMSG_FIRSTHDR(header);
    *cut = (struct cmsghdr){.cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(uint16_t))};
    *(uint16_t *)CMSG_DATA(cut) = (uint16_t)segment;
}

/* Sends the next packets of one client, all in one call. */
static void send_for(uint32_t index, uint64_t packets) {
    struct client *client = &clients[index];
    int from_peer = direction == DOWN, count = 0;
    size_t prefix = from_peer ? 0 : client->prefix_length;
    if (client->next == client->awaited) client->moved_at = now;
    for (; (uint64_t)count < packets && count < BATCH; count++) {
        struct tag tag = {index, run, client->next++, interval ? read_clock(CLOCK_MONOTONIC) : 0};
        memcpy(arena[count], client->prefix, prefix);
        memset(arena[count] + prefix, 0x5a, payload_bytes);
        memcpy(arena[count] + prefix, &tag, sizeof tag);
        vectors[count] = (struct iovec){arena[count], prefix + payload_bytes};
        messages[count].msg_hdr = (struct msghdr){.msg_iov = &vectors[count], .msg_iovlen = 1};
        if (from_peer) {
            messages[count].msg_hdr.msg_name = &client->relay;
            messages[count].msg_hdr.msg_namelen = client->relay_length;
        }
    }
    under_way += (uint64_t)count;
    if (train > 1) {
        couple(client, from_peer, count, prefix + payload_bytes);
        send_all(from_peer ? peer_fd : client->fd, 1);
        counters.sent += (uint64_t)count - 1;
    } else {
        send_all(from_peer ? peer_fd : client->fd, count);
    }
}

/* One packet, or one train, for each client in turn until the window is full; with few clients several packets. */
static void fill_window(void) {
    static uint32_t turn;
    uint64_t each = train > 1 ? train : window / client_count + 1;
    while (under_way + train <= window) {
        uint64_t room = window - under_way;
        send_for(turn, room < each ? room : each);
        turn = (turn + 1) % client_count;
    }
}

/* Sends what is due by now. */
static void keep_pace(void) {
    static uint32_t turn;
    for (; next_due <= now; next_due += interval) {
        if (under_way < window) send_for(turn, 1);
        turn = (turn + 1) % client_count;
    }
}

/* A packet has gone its whole way: those that were sent before it and have not come will not come. */
static void come_back(struct client *client, uint64_t number) {
    if (number < client->awaited) {
        counters.lost--; /* it was only late */
        return;
    }
    counters.lost += number - client->awaited;
    under_way -= number + 1 - client->awaited;
    client->awaited = number + 1;
    client->moved_at = now;
}

static int read_tag(int i, size_t skipped, struct tag *tag) {
    size_t length = messages[i].msg_len;
    if (length < skipped + payload_bytes) return 0;
    memcpy(tag, arena[i] + skipped, sizeof *tag);
    return tag->run == run && tag->client < client_count && tag->number < clients[tag->client].next;
}

static void serve_peer(void) {
    int count = receive(peer_fd), echoed = 0;
    for (int i = 0; i < count; i++) {
        struct tag tag;
        if (!read_tag(i, 0, &tag)) {
            counters.strange++;
            continue;
        }
        counters.to_peer++;
        if (direction == UP) come_back(&clients[tag.client], tag.number);
        if (direction == BOTH) {
            vectors[i].iov_len = messages[i].msg_len;
            messages[echoed++].msg_hdr = messages[i].msg_hdr;
        }
    }
    if (echoed) send_all(peer_fd, echoed);
}

static void serve_client(uint32_t index) {
    struct client *client = &clients[index];
    int count = receive(client->fd);
    uint64_t arrived = interval ? read_clock(CLOCK_MONOTONIC) : 0;
    for (int i = 0; i < count; i++) {
        struct tag tag;
        if (!read_tag(i, client->skipped, &tag) || tag.client != index) {
            counters.strange++;
            continue;
        }
        counters.to_client++;
        come_back(client, tag.number);
        if (interval && timed < most_timed) round_trips[timed++] = (uint32_t)(arrived - tag.sent_at);
    }
}

/* Gives up on packets that nothing came after. */
static void revive(void) {
    for (uint32_t index = 0; index < client_count; index++) {
        struct client *client = &clients[index];
        if (client->next == client->awaited || now - client->moved_at < STALL_NS) continue;
        counters.lost += client->next - client->awaited;
        under_way -= client->next - client->awaited;
        client->awaited = client->next;
    }
}

static void read_client(struct client *client) {
    char host[64], prefix[2 * MOST_PREFIX + 2];
    unsigned port;
    if (scanf("%d %63s %u %129s %zu", &client->fd, host, &port, prefix, &client->skipped) != 5) fail("plan: client");
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)&client->relay;
    struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&client->relay;
    if (inet_pton(AF_INET, host, &ipv4->sin_addr) == 1) {
        ipv4->sin_family = AF_INET;
        ipv4->sin_port = htons((uint16_t)port);
        client->relay_length = sizeof *ipv4;
    } else if (inet_pton(AF_INET6, host, &ipv6->sin6_addr) == 1) {
        ipv6->sin6_family = AF_INET6;
        ipv6->sin6_port = htons((uint16_t)port);
        client->relay_length = sizeof *ipv6;
    } else {
        fail("plan: relay host");
    }
    for (const char *hex = prefix; *hex != '-' && *hex; hex += 2) {
        unsigned byte;
        if (sscanf(hex, "%2x", &byte) != 1) fail("plan: prefix");
        client->prefix[client->prefix_length++] = (unsigned char)byte;
    }
}

static void read_plan(double *warm_up, double *seconds, long *pid, char devices[MOST_TEXT]) {
    char word[8];
    double rate;
    if (scanf("%7s %zu %lu %lf %lf %ld %255s %d %u %lf %u", word, &payload_bytes, &window, warm_up, seconds, pid, devices,
              &peer_fd, &train, &rate, &client_count) != 11)
        fail("plan");
    if (rate > 0) {
        interval = (uint64_t)(1e9 / rate);
        most_timed = (size_t)(rate * *seconds * 2);
        round_trips = calloc(most_timed + 1, sizeof *round_trips);
    }
    direction = !strcmp(word, "up") ? UP : !strcmp(word, "down") ? DOWN : BOTH;
    if (payload_bytes < sizeof(struct tag) || payload_bytes + MOST_PREFIX > MOST_BYTES || client_count > 1 << 16) {
        fprintf(stderr, "plan: a payload has %zu to %d bytes, clients are at most 65536\n", sizeof(struct tag),
                MOST_BYTES - MOST_PREFIX);
        exit(1);
    }
    if (train < 1 || train > BATCH || train > window || train * (payload_bytes + MOST_PREFIX) > MOST_TRAIN) {
        fprintf(stderr, "plan: a train has 1 to %d packets and %d bytes, and fits into the window\n", BATCH, MOST_TRAIN);
        exit(1);
    }
    clients = calloc(client_count, sizeof *clients);
    for (uint32_t index = 0; index < client_count; index++) read_client(&clients[index]);
}

static int watch_all(void) {
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = client_count};
    if (peer_fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, peer_fd, &event)) fail("epoll: peer");
    for (uint32_t index = 0; index < client_count; index++) {
        event.data.u32 = index;
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, clients[index].fd, &event)) fail("epoll: client");
    }
    return epoll;
}

static void run_until(int epoll, uint64_t end) {
    static uint64_t revived_at;
    struct epoll_event events[EVENTS];
    while ((now = read_clock(CLOCK_MONOTONIC)) < end) {
        int count = epoll_wait(epoll, events, EVENTS, interval ? 0 : 1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.u32 == client_count)
                serve_peer();
            else
                serve_client(events[i].data.u32);
        }
        if (now - revived_at > STALL_NS / 50) {
            revive();
            revived_at = now;
        }
        if (interval)
            keep_pace();
        else
            fill_window();
    }
}

static int compare(const void *one, const void *other) {
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return a < b ? -1 : a > b;
}

/* CPU time of several threads, their ids separated by commas. */
static uint64_t cpu_of_all(const char *pids) {
    uint64_t total = 0;
    for (char *end; *pids >= '0' && *pids <= '9'; pids = *end ? end + 1 : end) total += cpu_of(strtol(pids, &end, 10));
    return total;
}

static double percentile(double part) { return timed ? round_trips[(size_t)(part * (double)(timed - 1))] / 1e3 : 0; }

static void report(const struct counters *from, double seconds, uint64_t relay_cpu, uint64_t device_cpu,
                   uint64_t own_cpu) {
    if (timed) qsort(round_trips, timed, sizeof *round_trips, compare);
    printf("{\"seconds\": %.6f, \"sent\": %llu, \"delivered_to_peer\": %llu, \"delivered_to_client\": %llu, "
           "\"lost\": %lld, \"strange\": %llu, \"relay_cpu_ns\": %llu, \"device_cpu_ns\": %llu, "
           "\"generator_cpu_ns\": %llu, \"round_trip_us\": [%.1f, %.1f, %.1f]}\n",
           seconds, (unsigned long long)(counters.sent - from->sent),
           (unsigned long long)(counters.to_peer - from->to_peer),
           (unsigned long long)(counters.to_client - from->to_client), (long long)(counters.lost - from->lost),
           (unsigned long long)(counters.strange - from->strange), (unsigned long long)relay_cpu,
           (unsigned long long)device_cpu, (unsigned long long)own_cpu, percentile(.5), percentile(.9), percentile(.99));
}

static void load(void) {
    double warm_up, seconds;
    long pid;
    char devices[MOST_TEXT];
    read_plan(&warm_up, &seconds, &pid, devices);
    run = (uint32_t)getpid();
    int epoll = watch_all();
    now = next_due = read_clock(CLOCK_MONOTONIC);
    run_until(epoll, now + (uint64_t)(warm_up * 1e9));
    struct counters before = counters;
    timed = 0;
    uint64_t start = read_clock(CLOCK_MONOTONIC), own = read_clock(CLOCK_PROCESS_CPUTIME_ID), relay = cpu_of(pid);
    uint64_t device = cpu_of_all(devices);
    run_until(epoll, start + (uint64_t)(seconds * 1e9));
    relay = cpu_of(pid) - relay;
    device = cpu_of_all(devices) - device;
    own = read_clock(CLOCK_PROCESS_CPUTIME_ID) - own;
    report(&before, (double)(read_clock(CLOCK_MONOTONIC) - start) / 1e9, relay, device, own);
}

static void echo(int fd) {
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(0);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("epoll: echo");
    for (;;) {
        epoll_wait(epoll, &event, 1, -1);
        int count = receive(fd);
        for (int i = 0; i < count; i++) vectors[i].iov_len = messages[i].msg_len;
        if (count) send_all(fd, count);
    }
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "load"))
        load();
    else if (argc == 3 && !strcmp(argv[1], "echo"))
        echo(atoi(argv[2]));
    else
        return fprintf(stderr, "usage: generator load < PLAN | generator echo FD\n"), 2;
    return 0;
}
