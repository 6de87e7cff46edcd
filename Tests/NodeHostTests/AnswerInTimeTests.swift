import Daemon
import Synchronization
import Testing

@Suite("An answer in time, or none", .timeLimit(.minutes(1)))
struct AnswerInTimeTests {
  private struct Refusal: Error {}

  private final class Note: Sendable {
    let isCancelled = Atomic(false)
  }

  /// Ends by cancellation only.
  private static func forever(_ note: Note) async throws -> Int {
    let (nothing, feed) = AsyncStream.makeStream(of: Int.self)
    defer { withExtendedLifetime(feed) {} }
    for await _ in nothing {}
    note.isCancelled.store(true, ordering: .releasing)
    throw CancellationError()
  }

  @Test("What comes in time is returned, without waiting for the limit")
  func quick() async throws {
    #expect(try await answer(within: .seconds(3_600)) { 7 } == 7)
  }

  @Test("What doesn't come is nil, and no longer worked on")
  func slow() async throws {
    let note = Note()
    #expect(try await answer(within: .milliseconds(5)) { try await Self.forever(note) } == nil)
    let isCancelled = note.isCancelled.load(ordering: .acquiring)
    #expect(isCancelled)
  }

  @Test("An error is passed on, and is no silence")
  func failing() async {
    await #expect(throws: Refusal.self) {
      try await answer(within: .seconds(3_600)) { () -> Int in throw Refusal() }
    }
  }

  @Test("Who is cancelled is told so, and the work with it")
  func cancelled() async {
    let (began, feed) = AsyncStream.makeStream(of: Void.self)
    let asking = Task {
      try await answer(within: .seconds(3_600)) { () -> Int in
        feed.yield()
        return try await Self.forever(Note())
      }
    }
    for await _ in began { break }
    asking.cancel()
    await #expect(throws: CancellationError.self) { try await asking.value }
  }
}
