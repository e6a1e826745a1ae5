/*
 * Allocates for a TURN server: clients that are challenged, prove who they are, and get an allocation each.
 *
 *   allocate < PLAN    prints one JSON object (see `report`)
 *
 * PLAN, words separated by white space:
 *   HOST PORT  WARM_UP  COUNT  WINDOW  SERVER_PID  USERNAME  KEY_HEX
 * Each client has a socket of its own; WINDOW of them are busy at any time. The first WARM_UP allocations do not count,
 * the COUNT behind them do. All are kept until the last is made, then each is refreshed once, which counts by itself,
 * and deleted when the clocks have been read.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clocks.h"
#include "sha1.h"

enum { HEADER = 20, MOST_BYTES = 1024, MOST_TEXT = 256, EVENTS = 64, MOST_TRIES = 8 };
enum { ALLOCATE = 0x0003, REFRESH = 0x0004, SUCCESS = 0x0100, ERROR = 0x0110, CLASS = 0x0110 };
enum { USERNAME = 0x0006, INTEGRITY = 0x0008, ERROR_CODE = 0x0009, LIFETIME = 0x000d, REALM = 0x0014, NONCE = 0x0015 };
enum { REQUESTED_TRANSPORT = 0x0019 };
#define PATIENCE_NS (500 * 1000 * 1000ull)

struct text {
    uint16_t length;
    unsigned char bytes[MOST_TEXT];
};

struct client {
    int fd, tries, is_done;
    uint64_t sent_at;
    size_t length;
    unsigned char request[MOST_BYTES];
    struct text realm, nonce;
};

static struct sockaddr_in server;
static struct text username;
static struct sha1_key key;
static struct client *clients;
static unsigned total, window, begun, done;
static uint64_t retransmitted, now;
/* What a Refresh asks for. */
static unsigned char lifetime[4];
static int epoll;

static void put16(unsigned char *at, unsigned value) {
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static unsigned get16(const unsigned char *at) { return (unsigned)at[0] << 8 | at[1]; }

static void append(struct client *client, unsigned type, const void *value, size_t length) {
    unsigned char *at = client->request + client->length;
    put16(at, type);
    put16(at + 2, (unsigned)length);
    memcpy(at + 4, value, length);
    memset(at + 4 + length, 0, -length & 3);
    client->length += 4 + length + (-length & 3);
    put16(client->request + 2, (unsigned)(client->length - HEADER));
}

static void send_request(struct client *client) {
    if (send(client->fd, client->request, client->length, 0) < 0) fail("allocate: send");
    client->sent_at = now;
}

/* A request with a new transaction id, signed as soon as the client has been challenged. */
static void ask(struct client *client, unsigned method) {
    static uint64_t transaction;
    static const unsigned char cookie[] = {0x21, 0x12, 0xa4, 0x42}, udp[] = {17, 0, 0, 0};
    unsigned char *head = client->request;
    put16(head, method);
    memcpy(head + 4, cookie, sizeof cookie);
    memset(head + 8, 0, 4);
    transaction++;
    memcpy(head + 12, &transaction, sizeof transaction);
    client->length = HEADER;
    if (method == ALLOCATE)
        append(client, REQUESTED_TRANSPORT, udp, sizeof udp);
    else
        append(client, LIFETIME, lifetime, sizeof lifetime);
    if (client->nonce.length) {
        unsigned char digest[SHA1_BYTES] = {0};
        size_t covered;
        append(client, USERNAME, username.bytes, username.length);
        append(client, REALM, client->realm.bytes, client->realm.length);
        append(client, NONCE, client->nonce.bytes, client->nonce.length);
        covered = client->length;
        append(client, INTEGRITY, digest, sizeof digest); /* the length that is signed counts it */
        sha1_hmac(&key, head, covered, head + covered + 4);
    }
    send_request(client);
}

static const unsigned char *find(const unsigned char *message, size_t size, unsigned type, size_t *length) {
    for (size_t at = HEADER; at + 4 <= size;) {
        *length = get16(message + at + 2);
        if (at + 4 + *length > size) break;
        if (get16(message + at) == type) return message + at + 4;
        at += 4 + *length + (-*length & 3);
    }
    return NULL;
}

static void take(struct text *text, const unsigned char *message, size_t size, unsigned type) {
    size_t length;
    const unsigned char *value = find(message, size, type, &length);
    if (!value || length > MOST_TEXT) {
        fprintf(stderr, "allocate: a challenge without realm or nonce\n");
        exit(1);
    }
    memcpy(text->bytes, value, length);
    text->length = (uint16_t)length;
}

static void open_socket(struct client *client) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)(client - clients)};
    client->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&server, sizeof server)) fail("allocate: socket");
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event)) fail("allocate: epoll");
    client->nonce.length = 0;
}

static void begin_more(unsigned end) {
    for (; begun < end && begun - done < window; begun++) {
        open_socket(&clients[begun]);
        ask(&clients[begun], ALLOCATE);
    }
}

static void refused(struct client *client, const unsigned char *message, size_t size) {
    size_t length;
    const unsigned char *error = find(message, size, ERROR_CODE, &length);
    unsigned code = error && length >= 4 ? error[2] * 100u + error[3] : 0, method = get16(message) & ~CLASS;
    if (++client->tries > MOST_TRIES || (code != 401 && code != 437 && code != 438)) {
        fprintf(stderr, "allocate: method %u was refused with %u\n", method, code);
        exit(1);
    }
    if (code == 437) { /* the server remembers the port */
        close(client->fd);
        open_socket(client);
    } else {
        take(&client->realm, message, size, REALM);
        take(&client->nonce, message, size, NONCE);
    }
    ask(client, method);
}

static void serve(struct client *client) {
    unsigned char message[2048];
    ssize_t size;
    while ((size = recv(client->fd, message, sizeof message, 0)) >= HEADER) {
        if (client->is_done || memcmp(message + 8, client->request + 8, 12)) continue;
        if ((get16(message) & CLASS) == SUCCESS) {
            client->is_done = 1;
            done++;
        } else if ((get16(message) & CLASS) == ERROR) {
            refused(client, message, (size_t)size);
            return; /* what is in the queue of a socket that was exchanged is nobody's */
        }
    }
}

static void retransmit(void) {
    static uint64_t looked_at;
    if (now - looked_at < PATIENCE_NS / 50) return;
    looked_at = now;
    for (unsigned index = 0; index < begun; index++) {
        if (clients[index].is_done || now - clients[index].sent_at < PATIENCE_NS) continue;
        if (++clients[index].tries > MOST_TRIES) {
            fprintf(stderr, "allocate: no answer\n");
            exit(1);
        }
        send_request(&clients[index]);
        retransmitted++;
    }
}

/* Works until `end` clients are done. */
static void run_until(unsigned end, void (*begin)(unsigned end)) {
    struct epoll_event events[EVENTS];
    while (done < end) {
        now = read_clock(CLOCK_MONOTONIC);
        begin(end);
        int count = epoll_wait(epoll, events, EVENTS, 10);
        for (int i = 0; i < count; i++) serve(&clients[events[i].data.u32]);
        retransmit();
    }
}

static void refresh_more(unsigned end) {
    for (; begun < end && begun - done < window; begun++) {
        clients[begun].is_done = clients[begun].tries = 0;
        ask(&clients[begun], REFRESH);
    }
}

static void read_plan(unsigned *warm_up, long *pid) {
    char host[64], name[MOST_TEXT], hex[65];
    unsigned port, count;
    if (scanf("%63s %u %u %u %u %ld %255s %64s", host, &port, warm_up, &count, &window, pid, name, hex) != 8)
        fail("allocate: plan");
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &server.sin_addr) != 1) fail("allocate: host");
    username.length = (uint16_t)strlen(name);
    memcpy(username.bytes, name, username.length);
    unsigned char secret[32];
    size_t length = 0;
    for (unsigned byte; sscanf(hex + 2 * length, "%2x", &byte) == 1; length++) secret[length] = (unsigned char)byte;
    sha1_prepare(&key, secret, length);
    total = *warm_up + count;
    clients = calloc(total, sizeof *clients);
    if (!clients || !count || !window) fail("allocate: plan");
}

/* What passed on the clocks. */
struct span {
    double seconds;
    uint64_t server, own;
};

/* CPU time of a server that has nothing to do any more: exact, since by now all its threads sleep. */
static uint64_t cpu_at_rest(long pid) {
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    return cpu_of(pid);
}

static struct span timed(long pid, unsigned end, void (*begin)(unsigned end)) {
    uint64_t cpu = cpu_at_rest(pid), own = read_clock(CLOCK_PROCESS_CPUTIME_ID), start = read_clock(CLOCK_MONOTONIC);
    run_until(end, begin);
    double seconds = (double)(read_clock(CLOCK_MONOTONIC) - start) / 1e9;
    own = read_clock(CLOCK_PROCESS_CPUTIME_ID) - own;
    return (struct span){seconds, cpu_at_rest(pid) - cpu, own};
}

static void report(struct span made, unsigned count, struct span refreshed) {
    printf("{\"seconds\": %.6f, \"allocations\": %u, \"retransmitted\": %llu, \"server_cpu_ns\": %llu, "
           "\"generator_cpu_ns\": %llu, \"refreshes\": %u, \"refresh_cpu_ns\": %llu}\n",
           made.seconds, count, (unsigned long long)retransmitted, (unsigned long long)made.server,
           (unsigned long long)made.own, total, (unsigned long long)refreshed.server);
}

/* Asks for every allocation once more; 0 seconds delete it. */
static void ask_again(unsigned seconds) {
    put16(lifetime + 2, seconds);
    begun = done = 0;
}

int main(void) {
    unsigned warm_up;
    long pid;
    read_plan(&warm_up, &pid);
    epoll = epoll_create1(0);
    run_until(warm_up, begin_more);
    struct span made = timed(pid, total, begin_more);
    ask_again(600);
    report(made, total - warm_up, timed(pid, total, refresh_more));
    ask_again(0);
    run_until(total, refresh_more);
    return 0;
}
