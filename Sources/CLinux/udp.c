#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { SLOT_BYTES = 65535 };

static uint64_t load64(const uint8_t *bytes) {
  uint64_t value;
  memcpy(&value, bytes, sizeof value);
  return __builtin_bswap64(value);
}

static void store64(uint8_t *bytes, uint64_t value) {
  value = __builtin_bswap64(value);
  memcpy(bytes, &value, sizeof value);
}

static clinux_endpoint endpoint_of(const struct sockaddr_in6 *address) {
  return (clinux_endpoint){
    .high = load64(address->sin6_addr.s6_addr),
    .low = load64(address->sin6_addr.s6_addr + 8),
    .port = ntohs(address->sin6_port),
  };
}

static void fill_address(struct sockaddr_in6 *address, const clinux_endpoint *endpoint) {
  memset(address, 0, sizeof *address);
  address->sin6_family = AF_INET6;
  address->sin6_port = htons(endpoint->port);
  store64(address->sin6_addr.s6_addr, endpoint->high);
  store64(address->sin6_addr.s6_addr + 8, endpoint->low);
}

static int set_option(int descriptor, int level, int name, int value) {
  return setsockopt(descriptor, level, name, &value, sizeof value);
}

int clinux_udp_open(const clinux_endpoint *local, int buffer_bytes) {
  int descriptor = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
  if (descriptor < 0) return -errno;
  struct sockaddr_in6 address;
  fill_address(&address, local);
  if (set_option(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 0) != 0
      || set_option(descriptor, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO) != 0
      || set_option(descriptor, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO) != 0
      || bind(descriptor, (const struct sockaddr *)&address, sizeof address) != 0) {
    int error = errno;
    close(descriptor);
    return -error;
  }
  // Sizes and offloads are wishes: the socket works without them.
  if (set_option(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes) != 0)
    set_option(descriptor, SOL_SOCKET, SO_RCVBUF, buffer_bytes);
  if (set_option(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, buffer_bytes) != 0)
    set_option(descriptor, SOL_SOCKET, SO_SNDBUF, buffer_bytes);
  set_option(descriptor, SOL_UDP, UDP_GRO, 1);
  return descriptor;
}

int clinux_udp_local(int descriptor, clinux_endpoint *local) {
  struct sockaddr_in6 address;
  socklen_t size = sizeof address;
  if (getsockname(descriptor, (struct sockaddr *)&address, &size) != 0) return -errno;
  *local = endpoint_of(&address);
  return 0;
}

typedef union {
  struct cmsghdr header;
  uint8_t bytes[CMSG_SPACE(sizeof(int))];
} control_message;

struct clinux_receiver {
  unsigned slots;
  struct mmsghdr *headers;
  struct iovec *vectors;
  struct sockaddr_in6 *addresses;
  control_message *controls;
  uint8_t *buffers;
};

clinux_receiver *clinux_receiver_create(unsigned slots) {
  clinux_receiver *receiver = calloc(1, sizeof *receiver);
  if (receiver == NULL) return NULL;
  receiver->slots = slots;
  receiver->headers = calloc(slots, sizeof *receiver->headers);
  receiver->vectors = calloc(slots, sizeof *receiver->vectors);
  receiver->addresses = calloc(slots, sizeof *receiver->addresses);
  receiver->controls = calloc(slots, sizeof *receiver->controls);
  receiver->buffers = malloc((size_t)slots * SLOT_BYTES);
  if (receiver->headers && receiver->vectors && receiver->addresses && receiver->controls
      && receiver->buffers)
    return receiver;
  clinux_receiver_destroy(receiver);
  return NULL;
}

void clinux_receiver_destroy(clinux_receiver *receiver) {
  free(receiver->headers);
  free(receiver->vectors);
  free(receiver->addresses);
  free(receiver->controls);
  free(receiver->buffers);
  free(receiver);
}

int clinux_receive(clinux_receiver *receiver, int descriptor) {
  for (unsigned i = 0; i < receiver->slots; i++) {
    receiver->vectors[i] = (struct iovec){receiver->buffers + (size_t)i * SLOT_BYTES, SLOT_BYTES};
    receiver->headers[i].msg_hdr = (struct msghdr){
      .msg_name = &receiver->addresses[i],
      .msg_namelen = sizeof receiver->addresses[i],
      .msg_iov = &receiver->vectors[i],
      .msg_iovlen = 1,
      .msg_control = &receiver->controls[i],
      .msg_controllen = sizeof receiver->controls[i],
    };
  }
  int count;
  do {
    count = recvmmsg(descriptor, receiver->headers, receiver->slots, MSG_DONTWAIT, NULL);
  } while (count < 0 && errno == EINTR);
  return count < 0 ? -errno : count;
}

clinux_received clinux_receiver_slot(const clinux_receiver *receiver, unsigned index) {
  struct msghdr *header = &receiver->headers[index].msg_hdr;
  clinux_received slot = {
    .bytes = receiver->buffers + (size_t)index * SLOT_BYTES,
    .count = receiver->headers[index].msg_len,
    .segment = receiver->headers[index].msg_len,
    .from = endpoint_of(&receiver->addresses[index]),
    .truncated = (header->msg_flags & MSG_TRUNC) != 0,
  };
  for (struct cmsghdr *message = CMSG_FIRSTHDR(header); message; message = CMSG_NXTHDR(header, message)) {
    if (message->cmsg_level != SOL_UDP || message->cmsg_type != UDP_GRO) continue;
    int segment;
    memcpy(&segment, CMSG_DATA(message), sizeof segment);
    if (segment > 0 && (uint32_t)segment < slot.count) slot.segment = (uint32_t)segment;
  }
  return slot;
}

/// How long runs go out datagram by datagram after a device could not do it, in nanoseconds.
#define PLAIN_TIME (60 * UINT64_C(1000000000))

struct clinux_sender {
  /// CLOCK_BOOTTIME until which runs go out datagram by datagram.
  uint64_t plain_until;
  struct mmsghdr headers[CLINUX_BATCH];
  struct iovec vectors[CLINUX_BATCH];
  struct sockaddr_in6 addresses[CLINUX_BATCH];
  control_message controls[CLINUX_BATCH];
};

clinux_sender *clinux_sender_create(void) {
  return calloc(1, sizeof(clinux_sender));
}

void clinux_sender_destroy(clinux_sender *sender) { free(sender); }

static uint64_t datagrams(const clinux_run *run) {
  return run->segment == 0 ? 1 : (run->count + run->segment - 1) / run->segment;
}

static void count_failure(
  clinux_send_counts *counts, int error, uint64_t amount, uint32_t size, const clinux_endpoint *to) {
  switch (error) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM: counts->buffer_full += amount; break;
    case EMSGSIZE:
      counts->too_big += amount;
      counts->too_big_to = *to;
      counts->too_big_size = size;
      break;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL: counts->unreachable += amount; break;
    default: counts->failed += amount;
  }
}

/// The way that always works: one call a datagram.
static void send_each(int descriptor, const clinux_run *run, clinux_send_counts *counts) {
  struct sockaddr_in6 address;
  fill_address(&address, &run->to);
  for (uint32_t offset = 0; offset < run->count; offset += run->segment) {
    size_t size = run->count - offset < run->segment ? run->count - offset : run->segment;
    ssize_t sent;
    do {
      sent = sendto(descriptor, run->bytes + offset, size, MSG_DONTWAIT | MSG_NOSIGNAL,
                    (const struct sockaddr *)&address, sizeof address);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
      count_failure(counts, errno, 1, (uint32_t)size, &run->to);
    } else {
      counts->sent += 1;
      counts->sent_bytes += size;
    }
  }
}

static void fill_header(clinux_sender *sender, unsigned index, const clinux_run *run) {
  fill_address(&sender->addresses[index], &run->to);
  sender->vectors[index] = (struct iovec){(void *)run->bytes, run->count};
  struct msghdr *header = &sender->headers[index].msg_hdr;
  *header = (struct msghdr){
    .msg_name = &sender->addresses[index],
    .msg_namelen = sizeof sender->addresses[index],
    .msg_iov = &sender->vectors[index],
    .msg_iovlen = 1,
  };
  if (datagrams(run) < 2) return;
  header->msg_control = &sender->controls[index];
  header->msg_controllen = CMSG_SPACE(sizeof(uint16_t));
  struct cmsghdr *message = CMSG_FIRSTHDR(header);
  message->cmsg_level = SOL_UDP;
  message->cmsg_type = UDP_SEGMENT;
  message->cmsg_len = CMSG_LEN(sizeof(uint16_t));
  uint16_t segment = (uint16_t)run->segment;
  memcpy(CMSG_DATA(message), &segment, sizeof segment);
}

void clinux_send(
  clinux_sender *sender, int descriptor, const clinux_run *runs, unsigned run_count,
  clinux_send_counts *counts) {
  if (run_count > CLINUX_BATCH) run_count = CLINUX_BATCH;
  for (unsigned i = 0; i < run_count; i++) fill_header(sender, i, &runs[i]);
  bool plain = sender->plain_until > 0 && clinux_boottime() < sender->plain_until;
  unsigned done = 0;
  while (done < run_count) {
    if (plain && datagrams(&runs[done]) > 1) {
      send_each(descriptor, &runs[done++], counts);
      continue;
    }
    int sent = sendmmsg(descriptor, sender->headers + done, run_count - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      for (unsigned end = done + (unsigned)sent; done < end; done++) {
        counts->sent += datagrams(&runs[done]);
        counts->sent_bytes += runs[done].count;
      }
      continue;
    }
    int error = sent == 0 ? EAGAIN : errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) {
      for (; done < run_count; done++) counts->buffer_full += datagrams(&runs[done]);
      return;
    }
    bool refusal = error == EIO || error == EINVAL || error == EOPNOTSUPP || error == EMSGSIZE;
    if (datagrams(&runs[done]) > 1 && refusal) {
      // EOPNOTSUPP: this kernel never will. EIO: the device of this route can't, and another may take its
      // place. The others may be about this run alone.
      if (error == EOPNOTSUPP) sender->plain_until = UINT64_MAX;
      if (error == EIO) sender->plain_until = clinux_boottime() + PLAIN_TIME;
      plain = plain || error == EIO || error == EOPNOTSUPP;
      send_each(descriptor, &runs[done], counts);
    } else {
      count_failure(counts, error, datagrams(&runs[done]), runs[done].segment, &runs[done].to);
    }
    done++;
  }
}
