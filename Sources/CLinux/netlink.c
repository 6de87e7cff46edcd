// The five rtnetlink(7) requests that give an interface its MTU, address and route, and the news of others' changes.
#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef union {
  struct nlmsghdr header;
  uint8_t bytes[512];
} request;

/// Space for `size` bytes at the end of the message, zeroed.
static void *extend(request *message, size_t size) {
  void *place = message->bytes + NLMSG_ALIGN(message->header.nlmsg_len);
  message->header.nlmsg_len = NLMSG_ALIGN(message->header.nlmsg_len) + (uint32_t)NLMSG_ALIGN(size);
  return place;
}

static struct rtattr *attribute(request *message, uint16_t type, const void *value, size_t size) {
  struct rtattr *attribute = extend(message, RTA_LENGTH(size));
  attribute->rta_type = type;
  attribute->rta_len = (uint16_t)RTA_LENGTH(size);
  if (size > 0) memcpy(RTA_DATA(attribute), value, size);
  return attribute;
}

/// Makes `outer` hold everything that was appended after it.
static void close_nest(request *message, struct rtattr *outer) {
  outer->rta_len = (uint16_t)(message->bytes + message->header.nlmsg_len - (uint8_t *)outer);
}

static void begin(request *message, uint16_t type, uint16_t flags) {
  memset(message, 0, sizeof *message);
  message->header.nlmsg_len = NLMSG_HDRLEN;
  message->header.nlmsg_type = type;
  message->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
  message->header.nlmsg_seq = 1;
}

static int exchange(request *message) {
  int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (descriptor < 0) return -errno;
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  int result = 0;
  size_t length = message->header.nlmsg_len;
  if (sendto(descriptor, message->bytes, length, 0, (struct sockaddr *)&kernel, sizeof kernel) < 0) {
    result = -errno;
  } else {
    union {
      struct nlmsghdr header;
      uint8_t bytes[2048];
    } answer;
    ssize_t size;
    do {
      size = recv(descriptor, answer.bytes, sizeof answer.bytes, 0);
    } while (size < 0 && errno == EINTR);
    if (size < 0) {
      result = -errno;
    } else if (!NLMSG_OK(&answer.header, (size_t)size) || answer.header.nlmsg_type != NLMSG_ERROR) {
      result = -EPROTO;
    } else {
      result = ((struct nlmsgerr *)NLMSG_DATA(&answer.header))->error;
    }
  }
  close(descriptor);
  return result;
}

static struct ifinfomsg *begin_link(request *message, int index) {
  begin(message, RTM_NEWLINK, 0);
  struct ifinfomsg *link = extend(message, sizeof *link);
  link->ifi_family = AF_UNSPEC;
  link->ifi_index = index;
  return link;
}

int clinux_interface_no_autoconf(int index) {
  request message;
  begin_link(&message, index);
  struct rtattr *families = attribute(&message, IFLA_AF_SPEC, NULL, 0);
  struct rtattr *inet6 = attribute(&message, AF_INET6, NULL, 0);
  uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
  attribute(&message, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof mode);
  close_nest(&message, inet6);
  close_nest(&message, families);
  return exchange(&message);
}

int clinux_interface_mtu(int index, uint32_t mtu) {
  request message;
  begin_link(&message, index);
  attribute(&message, IFLA_MTU, &mtu, sizeof mtu);
  return exchange(&message);
}

int clinux_interface_up(int index) {
  request message;
  struct ifinfomsg *link = begin_link(&message, index);
  link->ifi_flags = IFF_UP;
  link->ifi_change = IFF_UP;
  return exchange(&message);
}

int clinux_interface_address(int index, const uint8_t *address) {
  request message;
  begin(&message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
  struct ifaddrmsg *header = extend(&message, sizeof *header);
  header->ifa_family = AF_INET6;
  header->ifa_prefixlen = 128;
  header->ifa_flags = IFA_F_NODAD;
  header->ifa_index = (uint32_t)index;
  attribute(&message, IFA_LOCAL, address, 16);
  attribute(&message, IFA_ADDRESS, address, 16);
  return exchange(&message);
}

int clinux_interface_route(int index, const uint8_t *prefix, uint8_t length, const uint8_t *source) {
  request message;
  begin(&message, RTM_NEWROUTE, NLM_F_CREATE);
  struct rtmsg *route = extend(&message, sizeof *route);
  route->rtm_family = AF_INET6;
  route->rtm_dst_len = length;
  route->rtm_table = RT_TABLE_MAIN;
  route->rtm_protocol = RTPROT_STATIC;
  route->rtm_scope = RT_SCOPE_UNIVERSE;
  route->rtm_type = RTN_UNICAST;
  attribute(&message, RTA_DST, prefix, 16);
  if (source != NULL) {
    route->rtm_src_len = 128;
    attribute(&message, RTA_SRC, source, 16);
  }
  uint32_t output = (uint32_t)index;
  attribute(&message, RTA_OIF, &output, sizeof output);
  int result = exchange(&message);
  return result == -EEXIST ? 0 : result;
}

int clinux_changes_open(void) {
  int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (descriptor < 0) return -errno;
  struct sockaddr_nl groups = {
    .nl_family = AF_NETLINK,
    .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
  };
  if (bind(descriptor, (struct sockaddr *)&groups, sizeof groups) < 0) {
    int result = -errno;
    close(descriptor);
    return result;
  }
  return descriptor;
}

static int is_change(const struct nlmsghdr *message) {
  switch (message->nlmsg_type) {
  case RTM_NEWADDR:
  case RTM_DELADDR:
    return 1;
  case RTM_NEWROUTE:
  case RTM_DELROUTE: {
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg))) return 0;
    const struct rtmsg *route = NLMSG_DATA(message);
    return route->rtm_dst_len == 0;
  }
  default:
    return 0;
  }
}

int clinux_changes_take(int descriptor) {
  union {
    struct nlmsghdr header;
    uint8_t bytes[16384];
  } news;
  int changed = 0;
  for (;;) {
    ssize_t size = recv(descriptor, news.bytes, sizeof news.bytes, MSG_TRUNC);
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return changed;
      if (errno != ENOBUFS) return -errno;
      changed = 1;
      continue;
    }
    if (size == 0) return changed;
    if ((size_t)size > sizeof news.bytes) {
      changed = 1;
      size = sizeof news.bytes;
    }
    unsigned left = (unsigned)size;
    for (struct nlmsghdr *message = &news.header; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
      changed |= is_change(message);
    }
  }
}
