/* The soak's packets on their way: out of clients and peers in batches, trains and streams, and back in. */
#pragma once
#include <errno.h>
#include <netinet/udp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "soak_tags.h"

enum { BATCH = 32, LONGEST = 1400, SLOT = 2048, STREAM = 1 << 17 };
enum { HEADER = 20, DATA_INDICATION = 0x0017, PEER = 0x0012, DATA = 0x0013 };
#define STALL_NS 200000000ull

static unsigned char slots[BATCH][SLOT];
static struct iovec vectors[BATCH];
static struct mmsghdr messages[BATCH];
static struct sockaddr_in6 names[BATCH];

/* Reading */

static void tell_heard(uint32_t id, const unsigned char *bytes, size_t length) {
    printf("heard %u ", id);
    for (size_t i = 0; i < length; i++) printf("%02x", bytes[i]);
    printf("\n");
    told++;
}

static void take_indication(uint32_t id, const unsigned char *bytes, size_t length) {
    struct sockaddr_in6 peer = {0};
    const unsigned char *data = NULL;
    size_t data_length = 0;
    for (size_t at = HEADER; at + 4 <= length;) {
        unsigned type = get16(bytes + at), size = get16(bytes + at + 2);
        const unsigned char *value = bytes + at + 4;
        if (at + 4 + size > length) return finding("%u gets an indication that is cut off", id);
        if (type == DATA) data = value, data_length = size;
        if (type == PEER && (size == 8 || size == 20)) {
            unsigned char *host = size == 8 ? (unsigned char *)&((struct sockaddr_in *)&peer)->sin_addr
                                            : (unsigned char *)&peer.sin6_addr;
            peer.sin6_family = size == 8 ? AF_INET : AF_INET6;
            peer.sin6_port = htons((uint16_t)(get16(value + 2) ^ 0x2112));
            for (unsigned i = 0; i < size - 4; i++) host[i] = value[4 + i] ^ bytes[4 + i];
        }
        at += 4 + (size + 3u) / 4 * 4;
    }
    if (!data) return finding("%u gets an indication without data", id);
    check(id, 0, &peer, data, data_length);
}

/* One whole message that a client gets. */
static void take_message(uint32_t id, const unsigned char *bytes, size_t length) {
    if (length >= 4 && bytes[0] >= 0x40 && bytes[0] < 0x80) {
        if (4u + get16(bytes + 2) > length) return finding("%u gets ChannelData that is cut off", id);
        check(id, get16(bytes), NULL, bytes + 4, get16(bytes + 2));
    } else if (length < HEADER) {
        finding("%u gets %zu bytes that are no message", id, length);
    } else if (get16(bytes) == DATA_INDICATION) {
        take_indication(id, bytes, length);
    } else {
        tell_heard(id, bytes, length);
    }
}

static void shut(uint32_t id) {
    struct end *end = &ends[id];
    if (end->fd < 0) return;
    close(end->fd);
    free(end->in);
    free(end->out);
    end->fd = -1;
    end->in = end->out = NULL;
}

static void read_stream(uint32_t id) {
    struct end *end = &ends[id];
    ssize_t count = recv(end->fd, end->in + end->in_length, STREAM - end->in_length, MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
        shut(id);
        printf("closed %u\n", id);
        fflush(stdout);
        return;
    }
    if (count < 0) return;
    end->in_length += (size_t)count;
    size_t at = 0;
    while (end->in_length - at >= 4) {
        unsigned char *bytes = end->in + at;
        int is_channel = bytes[0] >= 0x40;
        size_t length = get16(bytes + 2) + (is_channel ? 4u : (unsigned)HEADER), padded = (length + 3) / 4 * 4;
        if (end->in_length - at < padded) break;
        take_message(id, bytes, length);
        at += padded;
    }
    memmove(end->in, end->in + at, end->in_length -= at);
}

static void read_datagrams(uint32_t id) {
    struct end *end = &ends[id];
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){slots[i], SLOT};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(end->fd, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < count; i++) {
        if (end->is_client)
            take_message(id, slots[i], messages[i].msg_len);
        else
            check(id, 0, &names[i], slots[i], messages[i].msg_len);
    }
}

/* Writing */

static void watch(uint32_t id, int writing) {
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.u32 = id};
    epoll_ctl(epoll, writing ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, ends[id].fd, &event);
}

static void write_stream(uint32_t id) {
    struct end *end = &ends[id];
    ssize_t count = send(end->fd, end->out, end->out_length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count > 0) memmove(end->out, end->out + count, end->out_length -= (size_t)count);
    if (!end->out_length == !end->waits) return;
    end->waits = end->out_length > 0;
    struct epoll_event event = {.events = EPOLLIN | (end->waits ? EPOLLOUT : 0), .data.u32 = id};
    epoll_ctl(epoll, EPOLL_CTL_MOD, end->fd, &event);
}

/* What a client says goes to the server, padded on streams. */
static void append(struct end *end, const unsigned char *bytes, size_t length) {
    size_t padded = (length + 3) / 4 * 4;
    if (end->out_length + padded > STREAM) return; /* a slow server: what does not fit is lost */
    memset(end->out + end->out_length, 0, padded);
    memcpy(end->out + end->out_length, bytes, length);
    end->out_length += padded;
}

/* Frames a payload, which has room before and behind it; returns where the frame begins. */
static unsigned char *frame(const struct flow *flow, unsigned char *payload, size_t length, size_t *framed) {
    if (flow->number && chance() % 8) {
        put16(payload - 4, flow->number);
        put16(payload - 2, length);
        *framed = length + 4;
        return payload - 4;
    }
    size_t padding = -length & 3;
    unsigned char *start = payload - 4 - flow->prefix_length;
    memcpy(start, flow->prefix, flow->prefix_length);
    put16(payload - 4, DATA);
    put16(payload - 2, length);
    memset(payload + length, 0, padding);
    *framed = flow->prefix_length + 4 + length + padding;
    put16(start + 2, *framed - HEADER);
    return start;
}

static void send_batch(int fd, int count, size_t segment) {
    union {
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr aligned;
    } control;
    if (segment) { /* one train, which the kernel cuts */
        struct msghdr *header = &messages[0].msg_hdr;
        header->msg_iovlen = (size_t)count;
        header->msg_control = &control;
        header->msg_controllen = sizeof control.bytes;
        struct cmsghdr *cut = CMSG_FIRSTHDR(header);
        cut->cmsg_level = SOL_UDP;
        cut->cmsg_type = UDP_SEGMENT;
        cut->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        *(uint16_t *)CMSG_DATA(cut) = (uint16_t)segment;
        count = 1;
    }
    for (int done = 0; done < count;) {
        int taken = sendmmsg(fd, messages + done, (unsigned)(count - done), MSG_DONTWAIT);
        done += taken > 0 ? taken : 1; /* what the kernel does not take is lost, as any other packet can be */
    }
}

/* Several packets of one flow, one way. A packet is planted on another's way by the tag that it bears. */
static void send_packets(uint32_t index, int way, int count) {
    struct flow *flow = &flows[index];
    struct end *from = &ends[way == UP ? flow->client : flow->peer];
    if (from->fd < 0 || from->waits) return;
    int is_live = !flow->ends_at || now < flow->ends_at, is_train = chance() % 4 == 0 && !from->is_stream;
    size_t length = sizeof(struct tag) + chance() % (chance() % 16 ? 128 : LONGEST - sizeof(struct tag));
    size_t segment = 0;
    for (int i = 0; i < count; i++) {
        size_t framed = length;
        unsigned char *payload = slots[i] + 128, *start = payload;
        uint32_t tagged = plant == WRONG && chance() % 256 == 0 ? (uint32_t)(chance() % flow_count) : index;
        write_payload(payload, length, tagged, way);
        if (way == UP) start = frame(flow, payload, length, &framed);
        if (from->is_stream) {
            append(from, start, framed);
        } else {
            vectors[i] = (struct iovec){start, framed};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
            if (way == DOWN) {
                messages[i].msg_hdr.msg_name = &flow->relayed;
                messages[i].msg_hdr.msg_namelen = size_of(&flow->relayed);
            }
        }
        if (i && framed != segment) is_train = 0;
        segment = framed;
        if (!is_train) length = sizeof(struct tag) + chance() % 128;
    }
    if (from->is_stream)
        write_stream(way == UP ? flow->client : flow->peer);
    else
        send_batch(from->fd, count, is_train && count > 1 ? segment : 0);
    sent += (uint64_t)count;
    if (is_live) {
        flow->under_way[way] += (uint64_t)count;
        under_way += (uint64_t)count;
    } else {
        flow->after_end[way] += (uint64_t)count;
        tried += (uint64_t)count;
    }
}

static void send_some(void) {
    for (int tries = 0; living_count && under_way < window && tries < 64; tries++) {
        uint32_t index = living[chance() % living_count];
        struct flow *flow = &flows[index];
        int way = (int)(chance() % 2), is_live = !flow->ends_at || now < flow->ends_at;
        uint64_t share = ends[flow->client].is_stream ? 8 : BATCH;
        if (is_live && flow->under_way[way] < share)
            send_packets(index, way, (int)(chance() % (share - flow->under_way[way])) + 1);
        else if (!is_live && chance() % 32 == 0)
            send_packets(index, way, 1);
    }
}

/* What has been under way for too long is lost. */
static void give_up(void) {
    for (uint32_t i = 0; i < living_count; i++) {
        struct flow *flow = &flows[living[i]];
        uint64_t stuck = flow->under_way[UP] + flow->under_way[DOWN];
        if (!stuck) flow->moved_at = now;
        if (!stuck || now - flow->moved_at < STALL_NS) continue;
        under_way -= stuck;
        if (!flow->ends_at || now < flow->ends_at) lost += stuck;
        flow->under_way[UP] = flow->under_way[DOWN] = 0;
    }
}
