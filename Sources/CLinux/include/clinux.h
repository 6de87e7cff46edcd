// What Swift's Glibc module cannot spell: variadic ioctls, mmsghdr, control messages, rtnetlink, unions.
// Every function that can fail returns a negative errno, never -1, so that callers need not read errno.
#ifndef CLINUX_H
#define CLINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if __has_feature(nullability)
#pragma clang assume_nonnull begin
#endif

// --- UDP (udp.c) ------------------------------------------------------------------------------------------

/// An IPv6 address in host order (IPv4 as ::ffff:a.b.c.d, RFC 4291 §2.5.5.2) and a port in host order.
typedef struct {
  uint64_t high;
  uint64_t low;
  uint16_t port;
} clinux_endpoint;

/// Opens a non-blocking dual-stack datagram socket bound to `local`, that never fragments and asks for
/// `buffer_bytes` of buffer each way (past the system's limit when it may). Returns the descriptor.
int clinux_udp_open(const clinux_endpoint *local, int buffer_bytes);

/// The address a socket is bound to.
int clinux_udp_local(int descriptor, clinux_endpoint *local);

/// One entry of a received batch: one datagram, or several of `segment` bytes each (the last may be shorter)
/// that the kernel joined (UDP_GRO).
typedef struct {
  uint8_t *bytes;
  uint32_t count;
  uint32_t segment;
  clinux_endpoint from;
  bool truncated;
} clinux_received;

typedef struct clinux_receiver clinux_receiver;

/// Buffers for `slots` entries of 65,535 bytes; NULL when memory is short.
clinux_receiver *_Nullable clinux_receiver_create(unsigned slots);
void clinux_receiver_destroy(clinux_receiver *receiver);

/// Fills the slots from the socket without waiting. Returns how many were filled, or -EAGAIN for none.
int clinux_receive(clinux_receiver *receiver, int descriptor);

/// Slot `index` of the last batch, valid until the next call of clinux_receive.
clinux_received clinux_receiver_slot(const clinux_receiver *receiver, unsigned index);

/// Bytes to send to one address: one datagram, or several of `segment` bytes each, the last may be shorter.
typedef struct {
  clinux_endpoint to;
  const uint8_t *bytes;
  uint32_t count;
  uint32_t segment;
} clinux_run;

enum { CLINUX_BATCH = 64 };

/// In datagrams, except `sent_bytes`.
typedef struct {
  uint64_t sent;
  uint64_t sent_bytes;
  uint64_t buffer_full;
  uint64_t too_big;
  uint64_t unreachable;
  uint64_t failed;
  /// Where the last datagram that was too big was to go, and its bytes.
  clinux_endpoint too_big_to;
  uint32_t too_big_size;
} clinux_send_counts;

typedef struct clinux_sender clinux_sender;

clinux_sender *_Nullable clinux_sender_create(void);
void clinux_sender_destroy(clinux_sender *sender);

/// Sends at most CLINUX_BATCH runs without waiting: what the socket does not take is counted and dropped.
/// Runs of more than one datagram go out by UDP_SEGMENT, or one by one where the kernel refuses that.
void clinux_send(
  clinux_sender *sender, int descriptor, const clinux_run *runs, unsigned run_count,
  clinux_send_counts *counts);

// --- TUN and addresses (tun.c, netlink.c) -----------------------------------------------------------------

enum { CLINUX_NAME_SIZE = 16 };

/// Opens a non-blocking TUN device without packet information, `device` being /dev/net/tun. An empty `name`,
/// or one with %d, lets the kernel choose; the name it got is written back. Returns the descriptor; `opened`
/// tells whether a failure came after the device file was opened.
int clinux_tun_open(const char *device, char *name, bool *opened);

/// The interface index of `name`.
int clinux_interface_index(const char *name);

/// No automatic link-local address (a router solicitation is nothing that the overlay carries).
int clinux_interface_no_autoconf(int index);
int clinux_interface_mtu(int index, uint32_t mtu);
int clinux_interface_up(int index);
/// Adds `address`/128 without duplicate address detection.
int clinux_interface_address(int index, const uint8_t *address);
/// Routes `prefix`/`length` to the interface: all of it, or what comes from `source`/128 (-EINVAL from a kernel
/// without CONFIG_IPV6_SUBTREES).
int clinux_interface_route(
  int index, const uint8_t *prefix, uint8_t length, const uint8_t *_Nullable source);

/// Opens a non-blocking socket that hears of changes of addresses and routes (rtnetlink(7)).
int clinux_changes_open(void);
/// Takes everything that waits there. Returns 1 when an address of an interface, or a default route, has come or
/// gone, or when some of it was lost; 0 when it was nothing of that kind.
int clinux_changes_take(int descriptor);

// --- Waiting and time (wait.c) ----------------------------------------------------------------------------

int clinux_poller_open(void);
/// Watches a descriptor for input, to be reported as `bit`.
int clinux_poller_add(int poller, int descriptor, uint32_t bit);
/// Waits for input, for at most `milliseconds` (-1: for ever). Returns the bits that are ready as a
/// non-negative number.
int clinux_poller_wait(int poller, int milliseconds);

/// A counter to wait on; with `semaphore`, each read takes one and waits while there is none.
int clinux_event_open(bool semaphore);
void clinux_event_signal(int descriptor, uint64_t amount);
/// Reads the counter: 0 when it is zero and the event does not wait.
uint64_t clinux_event_take(int descriptor);

/// A timer on CLOCK_BOOTTIME.
int clinux_timer_open(void);
/// Fires at `nanoseconds` of CLOCK_BOOTTIME, once. Zero disarms.
int clinux_timer_arm(int descriptor, uint64_t nanoseconds);

/// CLOCK_BOOTTIME: monotonic, and counts while the machine sleeps.
uint64_t clinux_boottime(void);
/// CLOCK_MONOTONIC in nanoseconds, as the service manager counts.
uint64_t clinux_monotonic(void);
/// Seconds since 1970-01-01T00:00:00Z.
uint64_t clinux_wall_seconds(void);

// --- Threads, UNIX sockets, systemd (process.c) -----------------------------------------------------------

/// Starts a joinable thread named `name` (15 characters at most) that blocks every signal.
int clinux_thread_start(
  const char *name, void (*body)(void *_Nullable), void *_Nullable context, uint64_t *thread);
int clinux_thread_join(uint64_t thread);

/// Puts the calling thread into a new network or mount namespace (for tests, which must not touch the
/// machine's).
int clinux_leave_network(void);
int clinux_leave_mounts(void);

/// Sends `state` (sd_notify(3)) to $NOTIFY_SOCKET. Returns 1 when sent, 0 when nobody asked for it.
int clinux_service_notify(const char *state);

#if __has_feature(nullability)
#pragma clang assume_nonnull end
#endif
#endif
