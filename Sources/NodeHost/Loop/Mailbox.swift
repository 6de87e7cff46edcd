import CLinux
import Daemon
import MeshCrypto
import MeshWire
import Synchronization

/// How other threads reach the loop: commands and crypto results, both bounded, and one descriptor that wakes
/// it.
final class Mailbox<Core: NodeCore>: StreamInbox {
  /// Commands that wait. Results need no bound of their own: the loop submits jobs only after it has taken
  /// all results, so that never more wait than the pool has jobs.
  static var commandLimit: Int { 256 }
  /// Datagrams from streams that wait; one more is dropped, as a full socket would.
  static var streamedLimit: Int { 1_024 }

  /// Something to do with the core, and how to say that it won't be done.
  struct Command: Sendable {
    let run: @Sendable (inout Core, Instant, WallTime) -> Void
    let refuse: @Sendable (NodeLoopError) -> Void
  }

  struct Contents {
    var commands: [Command] = []
    var results: [(ticket: CryptoTicket, result: CryptoResult)] = []
    /// Two at most for each stream, of which there is a bounded number.
    var streamChanges: [StreamChange] = []
    var streamed: [StreamDatagram] = []
    var isStopping = false
  }

  private struct State {
    var contents = Contents()
    var isSignalled = false
    var isClosed = false
  }

  /// Readable when something waits.
  let wake: Descriptor
  private let state = Mutex(State())
  /// Commands refused because too many waited.
  let refusals = Atomic<UInt64>(0)

  init() throws(SystemError) { wake = Descriptor(try SystemError.check(clinux_event_open(false))) }

  /// Queues a command, or refuses it at once.
  func post(_ command: Command) {
    let answer = change { contents -> NodeLoopError? in
      guard contents.commands.count < Self.commandLimit else { return .busy }
      contents.commands.append(command)
      return nil
    }
    guard let refusal = answer else { return command.refuse(.stopped) }
    guard let refusal else { return }
    refusals.add(1, ordering: .relaxed)
    command.refuse(refusal)
  }

  /// Hands in the result of a job. After the end it goes nowhere.
  func post(_ result: CryptoResult, for ticket: CryptoTicket) {
    _ = change { $0.results.append((ticket, result)) }
  }

  func post(streamed datagrams: [StreamDatagram]) -> Int {
    let lost = change { contents in
      let room = min(datagrams.count, Self.streamedLimit - contents.streamed.count)
      contents.streamed += datagrams.prefix(room)
      return datagrams.count - room
    }
    return lost ?? 0
  }

  func post(_ event: StreamChange) { _ = change { $0.streamChanges.append(event) } }

  /// Asks the loop to end.
  func stop() { _ = change { $0.isStopping = true } }

  /// Changes what waits and wakes the loop; `nil` when nobody will ever read it.
  private func change<R>(_ body: (inout Contents) -> R) -> R? {
    state.withLock { state in
      if state.isClosed { return nil }
      let result = body(&state.contents)
      if !state.isSignalled {
        state.isSignalled = true
        clinux_event_signal(wake.number, 1)
      }
      return result
    }
  }

  /// Takes everything that waits, in order of arrival.
  func drain() -> Contents {
    state.withLock { state in
      _ = clinux_event_take(wake.number)
      state.isSignalled = false
      let contents = state.contents
      state.contents = Contents()
      return contents
    }
  }

  /// Refuses what waits and everything that will come.
  func close() {
    let waiting = state.withLock { state in
      state.isClosed = true
      let waiting = state.contents.commands
      state.contents = Contents()
      return waiting
    }
    for command in waiting { command.refuse(.stopped) }
  }
}
