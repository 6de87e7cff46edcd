import Glibc
import MeshWire

/// A core that is driven by lines, datagrams and time.
protocol Driven {
  /// Does what one line of the test says; false for a line it doesn't know.
  mutating func obey(_ words: [String], now: Instant) -> Bool
  mutating func receive(_ datagram: [UInt8], from source: Endpoint, now: Instant)
  mutating func advance(to now: Instant)
  var nextDeadline: Instant? { get }
}

extension Driven {
  /// Until standard input ends.
  mutating func serve(_ socket: LoopbackSocket, _ clock: inout SkippingClock) {
    var streams = StandardStreams()
    while !streams.isClosed {
      var watched = [
        pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
        pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0),
      ]
      poll(&watched, 2, clock.milliseconds(until: nextDeadline))
      if watched[0].revents != 0 {
        for line in streams.readLines() { obey(line, &clock) }
      }
      while let (datagram, source) = socket.receive() { receive(datagram, from: source, now: clock.now) }
      advance(to: clock.now)
    }
  }

  private mutating func obey(_ line: String, _ clock: inout SkippingClock) {
    let words = line.split(separator: " ").map(String.init)
    if words.count == 2, words[0] == "skip", let seconds = Int(words[1]) {
      clock.skip(.seconds(seconds))
    } else if !obey(words, now: clock.now) {
      StandardStreams.print("error", "unknown-line")
    }
  }
}

/// The system's monotonic clock, which a test may turn forward instead of waiting.
struct SkippingClock {
  private var skipped = Duration.zero

  var now: Instant {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Instant(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)) + skipped
  }

  mutating func skip(_ duration: Duration) { skipped = skipped + duration }

  /// Rounded up, so that the deadline has passed at the end; -1 without one, as poll(2) has it.
  func milliseconds(until deadline: Instant?) -> Int32 {
    guard let deadline else { return -1 }
    return Int32(clamping: max(0, ((deadline - now).wholeNanoseconds + 999_999) / 1_000_000))
  }
}
