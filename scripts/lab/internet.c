/* The lab's internet: a router in user space between TUN devices, with delay, loss, reordering, a rate and an MTU on
   each link. Kernels without netem have nothing of the kind; and as it routes whole IP packets by prefix, there is no
   ARP whose answer would take a round trip of its own before the first packet.

   It takes commands on standard input, one a line, and answers each with one line, `ok ...` or `error ...`:

     port NAME NETNS-FILE DEVICE   makes a TUN device inside that network namespace, and a link to it
     route PREFIX/LENGTH NAME      packets to this prefix leave on that link (the longest prefix wins)
     link NAME KEY=VALUE...        delay and late in microseconds, loss and reorder in parts per million, rate in
                                   bits a second (0: none), mtu in bytes, up 0 or 1
     count NAME                    bytes and packets that came from the link, went to it, and were dropped on it
     capture NAME FILE             every packet of the link from now on, both ways, as a pcap file; - ends it

   A packet meets both links that it uses: the delays of both add up, and either may lose it. `reorder` makes that
   share of the packets late by another `late` microseconds, so that those behind overtake them. Packets over the MTU
   of a link are dropped without a word, as by the worst of networks. Standard input's end is the program's. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    MOST_PORTS = 256,
    MOST_ROUTES = 1024,
    MOST_WAITING = 1 << 18,
    LARGEST_PACKET = 65536,
    BATCH = 64,
    /* What a link with a rate queues before it drops: this much of its time, in nanoseconds. */
    LONGEST_QUEUE = 200 * 1000 * 1000,
};

struct port {
    char name[32];
    int fd;
    uint64_t delay, late, busy_until; /* nanoseconds; two directions, one queue each */
    uint64_t busy_until_out;
    uint32_t loss, reorder;
    uint64_t rate;
    size_t mtu;
    int up;
    uint64_t bytes_in, packets_in, bytes_out, packets_out, dropped;
    FILE *capture;
};

struct route {
    uint8_t prefix[16];
    uint8_t length; /* bits */
    uint8_t family; /* 4 or 6 */
    uint16_t port;
};

struct waiting {
    uint64_t due, order;
    uint8_t *packet;
    uint32_t size;
    uint16_t from, to;
};

static struct port ports[MOST_PORTS];
static int port_count;
static struct route routes[MOST_ROUTES];
static int route_count;
static struct waiting heap[MOST_WAITING];
static int heap_count;
static uint64_t order, unrouted;
static int events;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* xorshift64*: chance enough for losing packets. */
static int chance(uint32_t parts_per_million) {
    static uint64_t state = 0x9e3779b97f4a7c15u;
    if (parts_per_million == 0) return 0;
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545f4914f6cdd1du >> 32) % 1000000 < parts_per_million;
}

/* -- what waits for its time: a binary heap, the earliest on top, equal times in the order they came */

static int earlier(const struct waiting *a, const struct waiting *b) {
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void push(struct waiting item) {
    int i = heap_count++;
    while (i > 0 && earlier(&item, &heap[(i - 1) / 2])) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = item;
}

static struct waiting pop(void) {
    struct waiting top = heap[0], last = heap[--heap_count];
    int i = 0;
    for (;;) {
        int child = 2 * i + 1;
        if (child >= heap_count) break;
        if (child + 1 < heap_count && earlier(&heap[child + 1], &heap[child])) child++;
        if (!earlier(&heap[child], &last)) break;
        heap[i] = heap[child];
        i = child;
    }
    if (heap_count > 0) heap[i] = last;
    return top;
}

/* -- captures */

static void record(struct port *port, const uint8_t *packet, uint32_t size) {
    if (!port->capture) return;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint32_t header[4] = {(uint32_t)t.tv_sec, (uint32_t)(t.tv_nsec / 1000), size, size};
    fwrite(header, sizeof header, 1, port->capture);
    fwrite(packet, size, 1, port->capture);
}

/* -- packets */

static int destination(const uint8_t *packet, size_t size) {
    const uint8_t *address;
    uint8_t family = packet[0] >> 4;
    if (family == 4 && size >= 20) address = packet + 16;
    else if (family == 6 && size >= 40) address = packet + 24;
    else return -1;
    int best = -1;
    for (int i = 0; i < route_count; i++) {
        const struct route *route = &routes[i];
        if (route->family != family || (best >= 0 && route->length <= routes[best].length)) continue;
        size_t whole = route->length / 8u;
        int bits = route->length % 8;
        if (memcmp(route->prefix, address, whole)) continue;
        if (bits && (route->prefix[whole] ^ address[whole]) >> (8 - bits)) continue;
        best = i;
    }
    return best < 0 ? -1 : routes[best].port;
}

/* When a packet that gets to this end of the link now is through it; 0 when it is lost on it. */
static uint64_t cross(struct port *port, uint64_t *busy_until, uint64_t time, size_t size) {
    if (!port->up || size > port->mtu || chance(port->loss)) {
        port->dropped++;
        return 0;
    }
    if (port->rate) {
        uint64_t begin = *busy_until > time ? *busy_until : time;
        if (begin - time > LONGEST_QUEUE) {
            port->dropped++;
            return 0;
        }
        time = *busy_until = begin + size * 8 * 1000000000u / port->rate;
    }
    return time + port->delay + (chance(port->reorder) ? port->late : 0);
}

static void deliver(struct port *port, const uint8_t *packet, uint32_t size) {
    record(port, packet, size);
    if (write(port->fd, packet, size) == (ssize_t)size) {
        port->bytes_out += size;
        port->packets_out++;
    } else {
        port->dropped++;
    }
}

static void accept_packet(int from, const uint8_t *packet, uint32_t size) {
    struct port *source = &ports[from];
    source->bytes_in += size;
    source->packets_in++;
    record(source, packet, size);
    int to = destination(packet, size);
    if (to < 0) {
        unrouted++;
        return;
    }
    uint64_t begin = now();
    uint64_t time = cross(source, &source->busy_until, begin, size);
    if (!time) return;
    time = cross(&ports[to], &ports[to].busy_until_out, time, size);
    if (!time) return;
    if (time == begin) {
        deliver(&ports[to], packet, size);
        return;
    }
    if (heap_count == MOST_WAITING) {
        ports[to].dropped++;
        return;
    }
    uint8_t *copy = malloc(size);
    if (!copy) abort();
    memcpy(copy, packet, size);
    push((struct waiting){time, order++, copy, size, (uint16_t)from, (uint16_t)to});
}

static void read_packets(int index) {
    static uint8_t packet[LARGEST_PACKET];
    for (int i = 0; i < BATCH; i++) {
        ssize_t size = read(ports[index].fd, packet, sizeof packet);
        if (size <= 0) return;
        accept_packet(index, packet, (uint32_t)size);
    }
}

static void deliver_due(void) {
    uint64_t time = now();
    while (heap_count > 0 && heap[0].due <= time) {
        struct waiting item = pop();
        deliver(&ports[item.to], item.packet, item.size);
        free(item.packet);
    }
}

/* -- commands */

static int find(const char *name) {
    for (int i = 0; i < port_count; i++)
        if (!strcmp(ports[i].name, name)) return i;
    return -1;
}

/* A device in another network namespace belongs there from its birth; its descriptor works from here. */
static const char *add_port(const char *name, const char *namespace, const char *device) {
    static int home = -1;
    if (port_count == MOST_PORTS) return "too many links";
    if (home < 0) home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int there = open(namespace, O_RDONLY | O_CLOEXEC);
    if (home < 0 || there < 0 || setns(there, CLONE_NEWNET)) return strerror(errno);
    close(there);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    memcpy(request.ifr_name, device, strnlen(device, IFNAMSIZ - 1));
    int failed = fd < 0 || ioctl(fd, TUNSETIFF, &request) ? errno : 0;
    if (setns(home, CLONE_NEWNET)) abort();
    if (failed) return strerror(failed);
    struct port *port = &ports[port_count];
    *port = (struct port){.fd = fd, .mtu = LARGEST_PACKET, .up = 1};
    snprintf(port->name, sizeof port->name, "%s", name);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)port_count};
    if (epoll_ctl(events, EPOLL_CTL_ADD, fd, &event)) return strerror(errno);
    port_count++;
    return NULL;
}

static const char *add_route(char *prefix, const char *name) {
    char *slash = strchr(prefix, '/');
    int port = find(name);
    if (!slash || port < 0) return "no such link";
    *slash = 0;
    struct route route = {.length = (uint8_t)atoi(slash + 1), .port = (uint16_t)port};
    if (inet_pton(AF_INET, prefix, route.prefix) == 1) route.family = 4;
    else if (inet_pton(AF_INET6, prefix, route.prefix) == 1) route.family = 6;
    else return "not a prefix";
    if (route.length > (route.family == 4 ? 32 : 128)) return "not a prefix length";
    for (int i = 0; i < route_count; i++)
        if (routes[i].family == route.family && routes[i].length == route.length &&
                !memcmp(routes[i].prefix, route.prefix, 16)) {
            routes[i] = route;
            return NULL;
        }
    if (route_count == MOST_ROUTES) return "too many routes";
    routes[route_count++] = route;
    return NULL;
}

static const char *set_link(struct port *port, char *settings) {
    for (char *word = strtok(settings, " "); word; word = strtok(NULL, " ")) {
        char *equals = strchr(word, '=');
        if (!equals) return "not KEY=VALUE";
        *equals = 0;
        uint64_t value = strtoull(equals + 1, NULL, 10);
        if (!strcmp(word, "delay")) port->delay = value * 1000;
        else if (!strcmp(word, "late")) port->late = value * 1000;
        else if (!strcmp(word, "loss")) port->loss = (uint32_t)value;
        else if (!strcmp(word, "reorder")) port->reorder = (uint32_t)value;
        else if (!strcmp(word, "rate")) port->rate = value;
        else if (!strcmp(word, "mtu")) port->mtu = value;
        else if (!strcmp(word, "up")) port->up = value != 0;
        else return "no such key";
    }
    return NULL;
}

static const char *set_capture(struct port *port, const char *path) {
    if (port->capture) fclose(port->capture);
    port->capture = NULL;
    if (!strcmp(path, "-")) return NULL;
    FILE *file = fopen(path, "wb");
    if (!file) return strerror(errno);
    uint32_t header[6] = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, LARGEST_PACKET, 101 /* LINKTYPE_RAW */};
    fwrite(header, sizeof header, 1, file);
    port->capture = file;
    return NULL;
}

static void obey(char *line) {
    char name[32] = "", first[256] = "", second[64] = "", word[16] = "";
    int rest = 0;
    const char *problem = "not a command";
    sscanf(line, "%15s", word);
    if (!strcmp(word, "port") && sscanf(line, "%*s %31s %255s %63s", name, first, second) == 3) {
        problem = find(name) < 0 ? add_port(name, first, second) : "there is such a link already";
    } else if (!strcmp(word, "route") && sscanf(line, "%*s %255s %31s", first, name) == 2) {
        problem = add_route(first, name);
    } else if (sscanf(line, "%*s %31s %n", name, &rest) == 1) {
        struct port *port = find(name) < 0 ? NULL : &ports[find(name)];
        if (!port) {
            problem = "no such link";
        } else if (!strcmp(word, "link")) {
            problem = set_link(port, line + rest);
        } else if (!strcmp(word, "capture")) {
            problem = set_capture(port, line + rest);
        } else if (!strcmp(word, "count")) {
            printf("ok %llu %llu %llu %llu %llu %llu\n", (unsigned long long)port->bytes_in,
             (unsigned long long)port->packets_in, (unsigned long long)port->bytes_out,
             (unsigned long long)port->packets_out, (unsigned long long)port->dropped,
             (unsigned long long)unrouted);
            return;
        }
    }
    printf(problem ? "error %s\n" : "ok\n", problem);
}

/* Whole lines of standard input; 0 when it has ended. */
static int read_commands(void) {
    static char buffer[4096];
    static size_t used;
    ssize_t size = read(0, buffer + used, sizeof buffer - 1 - used);
    if (size <= 0) return 0;
    used += (size_t)size;
    buffer[used] = 0;
    char *line = buffer, *end;
    while ((end = strchr(line, '\n'))) {
        *end = 0;
        obey(line);
        line = end + 1;
    }
    used -= (size_t)(line - buffer);
    memmove(buffer, line, used);
    fflush(stdout);
    return used < sizeof buffer - 1;
}

int main(void) {
    enum { COMMANDS = MOST_PORTS };
    prctl(PR_SET_TIMERSLACK, 1000);
    prctl(PR_SET_PDEATHSIG, 9);
    events = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event commands = {.events = EPOLLIN, .data.u32 = COMMANDS};
    if (events < 0 || epoll_ctl(events, EPOLL_CTL_ADD, 0, &commands)) return 1;
    for (;;) {
        struct epoll_event ready[64];
        struct timespec wait = {0}, *limit = NULL;
        if (heap_count > 0) {
            uint64_t time = now(), left = heap[0].due > time ? heap[0].due - time : 0;
            wait = (struct timespec){(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
            limit = &wait;
        }
        int count = epoll_pwait2(events, ready, 64, limit, NULL);
        if (count < 0 && errno != EINTR) return 1;
        deliver_due();
        for (int i = 0; i < count; i++) {
            if (ready[i].data.u32 != COMMANDS) read_packets((int)ready[i].data.u32);
            else if (!read_commands()) return 0;
        }
    }
}
