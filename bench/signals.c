/*
 * Load for a signaling server: plays WebSocket clients that send each other texts at a pace, and times each text.
 *
 * The connections come from the parent, which has made the handshakes and brought the clients in.
 *
 *   signals talk < PLAN     prints one JSON object (see `report`)
 *   signals echo FD         accepts on a listening socket and sends back what comes in: a server that does nothing
 *
 * PLAN, words separated by white space:
 *   RATE  SECONDS  SERVER_PID  CLIENTS     and for each client:  FD  TEXT_HEX
 * RATE texts a second leave, all clients together, each client in turn; none waits for another. In TEXT there may stand,
 * as numbers of their whole width, SENT (the time of sending), SEEN (the highest "seq" that the client was sent) and
 * COUNT (a number of its own for each text of a client): they are filled in, with blanks in front. A text that arrives brings the time back
 * as "sent".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clocks.h"

enum { MOST_TEXT = 2048, BUFFER = 32768, EVENTS = 256, BURST = 64 };
static const char SENT[] = "1111111111111111", SEEN[] = "2222222222", COUNT[] = "3333333333";
static const uint64_t LAST_NS = 2000000000u; /* for the last texts to arrive */

struct client {
    int fd;
    unsigned char frame[MOST_TEXT + 8];
    size_t length;
    unsigned char *sent, *seen, *count; /* where the numbers go; NULL for none */
    uint64_t last_seq, number;
    size_t held; /* bytes of a frame that is not whole */
    unsigned char buffer[BUFFER];
};

struct tally {
    uint64_t sent, refused, arrived, most;
    uint32_t *microseconds; /* of each text that arrived */
};

static int timer; /* wakes up for the next text */

static uint64_t now(void) { return read_clock(CLOCK_MONOTONIC); }

static unsigned char *place_of(struct client *client, const char *mark) {
    return memmem(client->frame, client->length, mark, strlen(mark));
}

static void fill(unsigned char *place, size_t width, uint64_t value) {
    for (size_t at = width; at-- > 0; value /= 10) place[at] = value || at == width - 1 ? '0' + value % 10 : ' ';
}

/* A client's text in one frame, masked with zeros (RFC 6455 section 5.2). */
static void frame_text(struct client *client, const char *hex) {
    size_t length = strlen(hex) / 2;
    if (length < 126 || length > MOST_TEXT) exit(2);
    unsigned char header[] = {0x81, 0x80 | 126, length >> 8, length & 255, 0, 0, 0, 0};
    memcpy(client->frame, header, sizeof header);
    for (size_t at = 0; at < length; at++)
        if (sscanf(hex + 2 * at, "%2hhx", &client->frame[sizeof header + at]) != 1) exit(2);
    client->length = sizeof header + length;
    client->sent = place_of(client, SENT);
    client->seen = place_of(client, SEEN);
    client->count = place_of(client, COUNT);
    client->number = 1000; /* what brought the client in had lower ones */
}

static void send_text(struct client *client, struct tally *tally) {
    if (client->sent) fill(client->sent, strlen(SENT), now() / 1000);
    if (client->seen) fill(client->seen, strlen(SEEN), client->last_seq);
    if (client->count) fill(client->count, strlen(COUNT), ++client->number);
    if (send(client->fd, client->frame, client->length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)client->length)
        tally->sent++;
    else
        tally->refused++; /* the server does not read */
}

/* The number behind a key, 0 when there is none. */
static uint64_t number_at(const unsigned char *text, size_t length, const char *key) {
    const unsigned char *at = memmem(text, length, key, strlen(key));
    return at ? strtoull((const char *)at + strlen(key), NULL, 10) : 0;
}

static void hear(struct client *client, unsigned char *text, size_t length, struct tally *tally) {
    unsigned char behind = text[length];
    text[length] = 0; /* numbers end here at the latest */
    uint64_t seq = number_at(text, length, "\"seq\":"), sent = number_at(text, length, "\"sent\":");
    text[length] = behind;
    if (seq > client->last_seq) client->last_seq = seq;
    if (sent && tally->arrived < tally->most) tally->microseconds[tally->arrived++] = (uint32_t)(now() / 1000 - sent);
}

/* Bytes of the first frame in a buffer, 0 while it is not whole; the text stands behind `header` bytes. */
static size_t whole(const unsigned char *data, size_t held, size_t *header) {
    if (held < 4) return 0;
    size_t length = data[1] & 127;
    *header = data[1] & 128 ? 6 : 2;
    if (length == 127) exit(3); /* nothing here is that long */
    if (length == 126) {
        length = (size_t)data[2] << 8 | data[3];
        *header += 2;
    }
    return held < *header + length ? 0 : *header + length;
}

static bool read_frames(struct client *client, struct tally *tally) {
    ssize_t got = recv(client->fd, client->buffer + client->held, BUFFER - 1 - client->held, MSG_DONTWAIT);
    if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
    client->held += (size_t)got;
    size_t done = 0, header, length;
    while ((length = whole(client->buffer + done, client->held - done, &header))) {
        if ((client->buffer[done] & 15) == 1) hear(client, client->buffer + done + header, length - header, tally);
        done += length;
    }
    client->held -= done;
    memmove(client->buffer, client->buffer + done, client->held);
    return true;
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t percentile(const struct tally *tally, double part) {
    return tally->arrived ? tally->microseconds[(uint64_t)(part * (double)(tally->arrived - 1))] : 0;
}

static void report(struct tally *tally, uint64_t took, uint64_t cpu) {
    qsort(tally->microseconds, tally->arrived, sizeof *tally->microseconds, compare);
    printf("{\"sent\": %llu, \"refused\": %llu, \"arrived\": %llu, \"seconds\": %.3f, \"cpu_seconds\": %.6f, "
           "\"p50_us\": %u, \"p99_us\": %u, \"most_us\": %u}\n",
           (unsigned long long)tally->sent, (unsigned long long)tally->refused, (unsigned long long)tally->arrived,
           (double)took / 1e9, (double)cpu / 1e9, percentile(tally, 0.5), percentile(tally, 0.99), percentile(tally, 1));
}

static int watch(struct client *clients, long count, double rate) {
    int poll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (poll < 0 || timer < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, timer, &event)) fail("epoll");
    long period = rate > 20000 ? 50000 : (long)(1e9 / rate);
    struct itimerspec pace = {.it_interval.tv_sec = period / 1000000000, .it_interval.tv_nsec = period % 1000000000};
    pace.it_value = pace.it_interval;
    timerfd_settime(timer, 0, &pace, NULL);
    for (long number = 0; number < count; number++) {
        event.data.ptr = &clients[number];
        if (epoll_ctl(poll, EPOLL_CTL_ADD, clients[number].fd, &event)) fail("epoll");
    }
    return poll;
}

static void talk(void) {
    double rate, seconds;
    long server, count;
    if (scanf("%lf %lf %ld %ld", &rate, &seconds, &server, &count) != 4 || rate <= 0 || count < 1) exit(2);
    struct client *clients = calloc((size_t)count, sizeof *clients);
    static char hex[2 * MOST_TEXT + 1];
    for (long number = 0; number < count; number++) {
        if (scanf("%d %4096s", &clients[number].fd, hex) != 2) exit(2);
        frame_text(&clients[number], hex);
    }
    struct tally tally = {.most = (uint64_t)(rate * seconds) + BURST};
    tally.microseconds = calloc(tally.most, sizeof *tally.microseconds);
    int poll = watch(clients, count, rate);
    uint64_t begun = now(), end = begun + (uint64_t)(seconds * 1e9), cpu = cpu_of(server), last = 0, turn = 0;
    uint64_t all = (uint64_t)(seconds * rate);
    struct epoll_event events[EVENTS];
    /* Who was held up sends what was due meanwhile, at the very end too. */
    for (uint64_t at = begun; at < end || turn < all || (tally.arrived < tally.sent && at < end + LAST_NS); at = now()) {
        uint64_t due = at < end ? (uint64_t)((double)(at - begun) / 1e9 * rate) : all;
        for (int burst = 0; turn < due && burst < BURST; burst++) send_text(&clients[turn++ % (uint64_t)count], &tally);
        int ready = epoll_wait(poll, events, EVENTS, turn < due ? 0 : 100);
        for (int number = 0; number < ready; number++) {
            struct client *client = events[number].data.ptr;
            uint64_t ticks;
            if (client ? !read_frames(client, &tally) : read(timer, &ticks, sizeof ticks) < 0) exit(4); /* it hung up */
        }
        if (tally.arrived) last = now();
    }
    report(&tally, (last < end ? end : last) - begun, cpu_of(server) - cpu);
}

static void echo(int listener) {
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    static unsigned char data[65536];
    if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event)) fail("epoll");
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int number = 0; number < ready; number++) {
            int fd = events[number].data.fd;
            if (fd == listener) {
                event.data.fd = accept(listener, NULL, NULL);
                if (event.data.fd >= 0) epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event);
                continue;
            }
            ssize_t got = recv(fd, data, sizeof data, 0);
            if (got <= 0 || send(fd, data, (size_t)got, MSG_NOSIGNAL) != got) close(fd);
        }
    }
}

int main(int count, char **words) {
    if (count == 2 && !strcmp(words[1], "talk"))
        talk();
    else if (count == 3 && !strcmp(words[1], "echo"))
        echo(atoi(words[2]));
    else
        return 2;
    return 0;
}
