#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct {
  char name[16];
  void (*body)(void *);
  void *context;
} thread_start;

static void *thread_main(void *argument) {
  thread_start start = *(thread_start *)argument;
  free(argument);
  pthread_setname_np(pthread_self(), start.name);
  start.body(start.context);
  return NULL;
}

int clinux_thread_start(const char *name, void (*body)(void *), void *context, uint64_t *thread) {
  thread_start *start = calloc(1, sizeof *start);
  if (start == NULL) return -ENOMEM;
  strncpy(start->name, name, sizeof start->name - 1);
  start->body = body;
  start->context = context;
  // Signals belong to the threads that wait for them: a new thread inherits this mask.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t identifier;
  int error = pthread_create(&identifier, NULL, thread_main, start);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error != 0) {
    free(start);
    return -error;
  }
  *thread = (uint64_t)identifier;
  return 0;
}

int clinux_thread_join(uint64_t thread) { return -pthread_join((pthread_t)thread, NULL); }

int clinux_leave_network(void) { return unshare(CLONE_NEWNET) == 0 ? 0 : -errno; }

int clinux_leave_mounts(void) {
  // CLONE_FS too: a thread shares its root and working directory with its process.
  return unshare(CLONE_FS | CLONE_NEWNS) == 0 ? 0 : -errno;
}

int clinux_service_notify(const char *state) {
  const char *path = getenv("NOTIFY_SOCKET");
  if (path == NULL || path[0] == 0) return 0;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, path, length);
  // A leading @ stands for the zero byte of the abstract namespace, whose names end with the address.
  if (path[0] == '@') address.sun_path[0] = 0;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -errno;
  ssize_t sent = sendto(descriptor, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
  int result = sent < 0 ? -errno : 1;
  close(descriptor);
  return result;
}
