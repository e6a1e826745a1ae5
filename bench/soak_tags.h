/* The soak's memory: who is there, what each packet's tag says, and what must be true of one that comes out. */
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "clocks.h"

enum { MOST_TOLD = 20 };
enum { UP, DOWN };
#define MAGIC 0x6661697267u
#define GRACE_NS 1000000000ull

struct tag {
    uint64_t magic, number, sent_at;
    uint32_t flow, way, length, spare;
    uint64_t sum; /* over everything else */
};

struct end {
    int fd; /* -1 before it is opened and after it is closed */
    int is_client, is_stream, waits;
    struct sockaddr_in6 address; /* a peer's own; room for either family */
    unsigned char *in, *out;
    size_t in_length, out_length;
};

struct flow {
    uint32_t client, peer, number;
    int is_forgotten;
    struct sockaddr_in6 relayed;
    unsigned char prefix[64];
    size_t prefix_length;
    uint64_t ends_at, moved_at;
    char ended_by[16];
    uint64_t next[2], after_end[2], seen[2], recent[2], under_way[2], arrived[2];
};

static struct end *ends;
static struct flow *flows;
static uint32_t end_count, flow_count;
static uint32_t *living; /* flows that are not forgotten */
static uint32_t living_count;
static uint64_t seed, target, window, under_way, now;
static enum { NONE, WRONG, ALTERED, LATE } plant;
static uint64_t sent, tried, delivered[2], late_allowed, lost, findings, told;
static int epoll;

static uint64_t random_state;

static uint64_t chance(void) { /* splitmix64 */
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void finding(const char *format, ...) {
    va_list arguments;
    if (++findings > MOST_TOLD) return;
    va_start(arguments, format);
    printf("finding ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    fflush(stdout);
}

static unsigned get16(const unsigned char *at) { return (unsigned)at[0] << 8 | at[1]; }

static void put16(unsigned char *at, size_t value) {
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static socklen_t size_of(const struct sockaddr_in6 *address) {
    return address->sin6_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof *address;
}

static struct sockaddr_in6 parse_address(const char *host, unsigned port) {
    struct sockaddr_in6 address = {0};
    struct sockaddr_in *ipv4 = (struct sockaddr_in *)&address;
    if (inet_pton(AF_INET, host, &ipv4->sin_addr) == 1)
        ipv4->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, host, &address.sin6_addr) == 1)
        address.sin6_family = AF_INET6;
    else
        fail(host);
    address.sin6_port = htons((uint16_t)port); /* both families have it in the same place */
    return address;
}

static int same(const struct sockaddr_in6 *one, const struct sockaddr_in6 *other) {
    if (one->sin6_family != other->sin6_family || one->sin6_port != other->sin6_port) return 0;
    const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)one, *their_ipv4 = (const struct sockaddr_in *)other;
    if (one->sin6_family == AF_INET) return ipv4->sin_addr.s_addr == their_ipv4->sin_addr.s_addr;
    return !memcmp(&one->sin6_addr, &other->sin6_addr, sizeof one->sin6_addr);
}

/* Payloads */

static uint64_t sum_of(const unsigned char *bytes, size_t length) {
    uint64_t sum = seed ^ length, word;
    for (; length >= 8; bytes += 8, length -= 8) {
        memcpy(&word, bytes, 8);
        unsigned __int128 product = (unsigned __int128)(sum ^ word) * 0x9e3779b97f4a7c15u;
        sum = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    word = 0;
    memcpy(&word, bytes, length);
    unsigned __int128 product = (unsigned __int128)(sum ^ word) * 0xbf58476d1ce4e5b9u;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t sum_of_payload(const unsigned char *payload, size_t length) {
    size_t head = offsetof(struct tag, sum);
    return sum_of(payload, head) ^ sum_of(payload + sizeof(struct tag), length - sizeof(struct tag)) * 3;
}

static void write_payload(unsigned char *payload, size_t length, uint32_t index, int way) {
    struct flow *flow = &flows[index];
    struct tag tag = {MAGIC, flow->next[way]++, now, index, (uint32_t)way, (uint32_t)length, 0, 0};
    uint64_t filling = tag.number * 0x9e3779b97f4a7c15u ^ index;
    for (size_t at = sizeof tag; at < length; at += 8)
        memcpy(payload + at, &filling, length - at < 8 ? length - at : 8), filling += 0x2545f4914f6cdd1du;
    memcpy(payload, &tag, sizeof tag);
    tag.sum = sum_of_payload(payload, length);
    memcpy(payload, &tag, sizeof tag);
    if (plant == ALTERED && chance() % 256 == 0) payload[chance() % length] ^= (unsigned char)(1 << chance() % 8);
}

static void count_arrival(struct flow *flow, const struct tag *tag) {
    uint64_t number = tag->number + 1, *seen = &flow->seen[tag->way], *recent = &flow->recent[tag->way];
    if (number > *seen) { /* bit n of `recent` is the packet n before the newest */
        uint64_t step = number - *seen;
        *recent = (step > 63 ? 0 : *recent << step) | 1;
        *seen = number;
    } else if (*seen - number < 64) {
        if (*recent >> (*seen - number) & 1) finding("flow %u: packet %lu arrives twice", tag->flow, tag->number);
        *recent |= 1ull << (*seen - number);
    }
    if (flow->under_way[tag->way]) flow->under_way[tag->way]--, under_way--;
    flow->arrived[tag->way]++;
    flow->moved_at = now;
    delivered[tag->way]++;
}

/* A payload has come out: `number` is its channel, `from` who sent it as the receiver is told. */
static void check(uint32_t receiver, unsigned number, const struct sockaddr_in6 *from, const unsigned char *payload,
                  size_t length) {
    struct tag tag;
    int is_client = ends[receiver].is_client;
    if (length < sizeof tag) return finding("%u gets %zu bytes that nobody sent", receiver, length);
    memcpy(&tag, payload, sizeof tag);
    if (tag.magic != MAGIC || tag.length != length || tag.sum != sum_of_payload(payload, length) || tag.way > DOWN ||
        tag.flow >= flow_count)
        return finding("%u gets %zu bytes that were altered", receiver, length);
    struct flow *flow = &flows[tag.flow];
    if (is_client != (tag.way == DOWN) || receiver != (is_client ? flow->client : flow->peer))
        return finding("%u gets a packet of flow %u, which is %u's and %u's", receiver, tag.flow, flow->client,
                       flow->peer);
    if (is_client ? number != flow->number || (!number && !same(from, &ends[flow->peer].address))
                  : !same(from, &flow->relayed))
        return finding("flow %u: a packet comes in the wrong framing (%x) or from somebody else", tag.flow, number);
    if (flow->ends_at && tag.sent_at > flow->ends_at) {
        if (tag.sent_at > flow->ends_at + GRACE_NS)
            return finding("flow %u: packet %lu was sent %.3f s after the end (%s) and arrives", tag.flow, tag.number,
                           (double)(tag.sent_at - flow->ends_at) / 1e9, flow->ended_by);
        late_allowed++;
    }
    count_arrival(flow, &tag);
}
