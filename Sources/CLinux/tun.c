#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int clinux_tun_open(const char *device, char *name, bool *opened) {
  *opened = false;
  int descriptor = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) return -errno;
  *opened = true;
  struct ifreq request;
  memset(&request, 0, sizeof request);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(descriptor, TUNSETIFF, &request) != 0) {
    int error = errno;
    close(descriptor);
    return -error;
  }
  _Static_assert(CLINUX_NAME_SIZE == IFNAMSIZ, "the kernel's size of an interface name");
  memcpy(name, request.ifr_name, IFNAMSIZ);
  return descriptor;
}

int clinux_interface_index(const char *name) {
  unsigned index = if_nametoindex(name);
  return index == 0 ? -errno : (int)index;
}
