/*
 * The floor under a relay: datagrams received and sent on in batches, and nothing looked at, judged or rewritten.
 *
 * Sockets lie as TURN has them: one listener for all clients, and a socket for each client that its peer knows. What a
 * client sends goes to its peer by that socket, what comes in there goes to the client by the listener.
 *
 *   floor FD plain|trains    FD is the listener, bound; `trains` are those of UDP_GRO and UDP_SEGMENT
 *
 * Lines on standard input, each answered by one line:
 *   open CLIENT_HOST CLIENT_PORT        makes a socket for a client; answers its port. Clients differ by their ports.
 *   peer CLIENT_PORT HOST PORT          answers ok
 *   close CLIENT_PORT                   answers ok
 * It ends with its standard input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SLOT = 65536, SLOTS = 64, RELAY_SHARE = 8, EVENTS = 256, PORTS = 65536, MOST_SEGMENTS = 64, LONGEST = 65000 };
enum { LISTENER = PORTS, CONTROL };

/* One client: `to` is where each side's packets go, from `fd` to the peer and from the listener to the client. */
struct client {
    int fd;
    struct sockaddr_in peer, self;
};

/* What one sendmsg takes: neighbours in the arena with the same way, cut into segments where it holds several. */
struct outgoing {
    int fd;
    size_t total, segment;
    int packets, is_closed;
};

union control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
};

static struct client clients[PORTS];
static int listener, epoll, trains;
static struct in_addr own_host;

static unsigned char arena[SLOTS][SLOT];
static struct iovec vectors[SLOTS], parts[SLOTS];
static struct mmsghdr messages[SLOTS], sending[SLOTS];
static struct sockaddr_in names[SLOTS];
static union control controls[SLOTS], cuts[SLOTS];
static struct outgoing batch[SLOTS];
static int received, batched;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* Sends the batch: for each run of one socket one call. What the kernel does not take is lost. */
static void flush(void) {
    for (int start = 0, end; start < batched; start = end) {
        for (end = start + 1; end < batched && batch[end].fd == batch[start].fd;) end++;
        for (int i = start; trains && i < end; i++) {
            if (batch[i].packets < 2) continue;
            struct msghdr *header = &sending[i].msg_hdr;
            header->msg_control = &cuts[i];
            header->msg_controllen = CMSG_SPACE(sizeof(uint16_t));
            struct cmsghdr *cut = CMSG_FIRSTHDR(header);
            *cut = (struct cmsghdr){
                .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(uint16_t))};
            *(uint16_t *)CMSG_DATA(cut) = (uint16_t)batch[i].segment;
        }
        for (int done = start; done < end;) {
            int taken = sendmmsg(batch[start].fd, sending + done, (unsigned)(end - done), MSG_DONTWAIT);
            done += taken > 0 ? taken : 1;
        }
    }
    batched = received = 0;
}

/* The length of each packet in a slot, as UDP_GRO says it. */
static size_t segment_of(int slot) {
    struct msghdr *header = &messages[slot].msg_hdr;
    struct cmsghdr *told = trains ? CMSG_FIRSTHDR(header) : NULL;
    return told && told->cmsg_type == UDP_GRO ? (size_t) * (int *)CMSG_DATA(told) : messages[slot].msg_len;
}

/* Adds a slot to the batch, to the last of it where both go the same way and the kernel can cut them apart again. */
static void add(int slot, int fd, struct sockaddr_in *to) {
    size_t length = messages[slot].msg_len, segment = segment_of(slot);
    int packets = segment ? (int)((length + segment - 1) / segment) : 1;
    parts[slot] = (struct iovec){arena[slot], length};
    struct outgoing *last = batched ? &batch[batched - 1] : NULL;
    int is_same_way = last && last->fd == fd && sending[batched - 1].msg_hdr.msg_name == to;
    if (trains && is_same_way && !last->is_closed && length && segment <= last->segment &&
        (segment == last->segment || packets == 1) && last->packets + packets <= MOST_SEGMENTS &&
        last->total + length <= LONGEST) {
        sending[batched - 1].msg_hdr.msg_iovlen++;
        last->total += length;
        last->packets += packets;
        last->is_closed = length % last->segment != 0;
        return;
    }
    batch[batched] = (struct outgoing){fd, length, segment, packets, segment ? length % segment != 0 : 1};
    sending[batched++].msg_hdr = (struct msghdr){
        .msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &parts[slot], .msg_iovlen = 1};
}

/* Receives behind what is there; returns where that ends. */
static int receive(int fd, int most) {
    if (SLOTS - received < most) flush();
    for (int i = received; i < received + most; i++) {
        vectors[i] = (struct iovec){arena[i], SLOT};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &names[i], .msg_namelen = sizeof names[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
        if (!trains) continue;
        messages[i].msg_hdr.msg_control = &controls[i];
        messages[i].msg_hdr.msg_controllen = sizeof controls[i];
    }
    int count = recvmmsg(fd, messages + received, (unsigned)most, MSG_DONTWAIT, NULL);
    return received + (count < 0 ? 0 : count);
}

static void from_clients(void) {
    for (int end = receive(listener, SLOTS); received < end; received++) {
        struct client *client = &clients[ntohs(names[received].sin_port)];
        if (client->fd && client->peer.sin_port) add(received, client->fd, &client->peer);
    }
}

static void from_peer(struct client *client) {
    for (int end = receive(client->fd, RELAY_SHARE); received < end; received++)
        add(received, listener, &client->self);
}

static int bound_socket(unsigned *port) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = own_host};
    socklen_t length = sizeof name;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, length) || getsockname(fd, (struct sockaddr *)&name, &length))
        fail("floor: socket");
    *port = ntohs(name.sin_port);
    return fd;
}

static void watch(int fd, uint32_t token) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = token};
    int on = 1;
    if (token <= LISTENER && trains && setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on)) fail("floor: UDP_GRO");
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("floor: epoll");
}

static struct sockaddr_in address_of(const char *host, unsigned port) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &name.sin_addr) != 1) fail("floor: host");
    return name;
}

static void obey(void) {
    char line[256], host[64];
    unsigned port, other;
    if (!fgets(line, sizeof line, stdin)) exit(0);
    flush();
    if (sscanf(line, "open %63s %u", host, &port) == 2 && port < PORTS && !clients[port].fd) {
        clients[port] = (struct client){.fd = bound_socket(&other), .self = address_of(host, port)};
        watch(clients[port].fd, port);
        printf("%u\n", other);
    } else if (sscanf(line, "peer %u %63s %u", &port, host, &other) == 3 && port < PORTS) {
        clients[port].peer = address_of(host, other);
        puts("ok");
    } else if (sscanf(line, "close %u", &port) == 1 && port < PORTS && clients[port].fd) {
        close(clients[port].fd);
        clients[port] = (struct client){0};
        puts("ok");
    } else {
        fprintf(stderr, "floor: %s", line);
        exit(1);
    }
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: floor FD plain|trains\n"), 2;
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    listener = atoi(argv[1]);
    trains = !strcmp(argv[2], "trains");
    epoll = epoll_create1(0);
    if (getsockname(listener, (struct sockaddr *)&name, &length)) fail("floor: listener");
    own_host = name.sin_addr;
    setvbuf(stdin, NULL, _IONBF, 0);
    watch(listener, LISTENER);
    watch(STDIN_FILENO, CONTROL);
    for (struct epoll_event events[EVENTS];;) {
        int count = epoll_wait(epoll, events, EVENTS, -1), is_told = 0;
        for (int i = 0; i < count; i++) {
            uint32_t token = events[i].data.u32;
            if (token == CONTROL)
                is_told = 1;
            else if (token == LISTENER)
                from_clients();
            else if (clients[token].fd)
                from_peer(&clients[token]);
        }
        flush();
        if (is_told) obey();
    }
}
