#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

int clinux_poller_open(void) {
  int descriptor = epoll_create1(EPOLL_CLOEXEC);
  return descriptor < 0 ? -errno : descriptor;
}

int clinux_poller_add(int poller, int descriptor, uint32_t bit) {
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = bit};
  return epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : -errno;
}

int clinux_poller_wait(int poller, int milliseconds) {
  struct epoll_event events[8];
  int count;
  do {
    count = epoll_wait(poller, events, 8, milliseconds);
  } while (count < 0 && errno == EINTR);
  if (count < 0) return -errno;
  uint32_t bits = 0;
  for (int i = 0; i < count; i++) bits |= events[i].data.u32;
  return (int)bits;
}

int clinux_event_open(bool semaphore) {
  int descriptor = eventfd(0, EFD_CLOEXEC | (semaphore ? EFD_SEMAPHORE : EFD_NONBLOCK));
  return descriptor < 0 ? -errno : descriptor;
}

void clinux_event_signal(int descriptor, uint64_t amount) {
  while (write(descriptor, &amount, sizeof amount) < 0 && errno == EINTR) {
  }
}

uint64_t clinux_event_take(int descriptor) {
  uint64_t amount = 0;
  while (read(descriptor, &amount, sizeof amount) < 0) {
    if (errno != EINTR) return 0;
  }
  return amount;
}

int clinux_timer_open(void) {
  int descriptor = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  return descriptor < 0 ? -errno : descriptor;
}

int clinux_timer_arm(int descriptor, uint64_t nanoseconds) {
  struct itimerspec time = {
    .it_value = {.tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000)},
  };
  return timerfd_settime(descriptor, TFD_TIMER_ABSTIME, &time, NULL) == 0 ? 0 : -errno;
}

uint64_t clinux_boottime(void) {
  struct timespec time = {0};
  clock_gettime(CLOCK_BOOTTIME, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t clinux_monotonic(void) {
  struct timespec time = {0};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

uint64_t clinux_wall_seconds(void) {
  struct timespec time = {0};
  clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec < 0 ? 0 : (uint64_t)time.tv_sec;
}
