import Testing

@testable import LightNode

@Suite("Waiters and alarms")
struct WaitersTests {
  @Test("Who is cancelled already waits for nothing: a stop must not hang on it")
  func cancelledBefore() async {
    let waiters = Waiters<Int, String>()
    let outcome = await withTaskGroup(of: String?.self) { group in
      group.cancelAll()
      group.addTask { await waiters.outcome(of: 1, within: .seconds(3_600)) }
      return await group.next() ?? nil
    }
    #expect(outcome == nil)
  }

  @Test func whoIsCancelledWhileWaitingReturns() async {
    let waiters = Waiters<Int, String>()
    await withTaskGroup(of: String?.self) { group in
      group.addTask { await waiters.outcome(of: 1, within: .seconds(3_600)) }
      group.addTask { "other" }
      for await outcome in group where outcome != nil { group.cancelAll() }
    }
  }

  @Test func anOutcomeIsHandedToWhoComesLater() async {
    let waiters = Waiters<Int, String>()
    waiters.resolve(1, "early")
    #expect(await waiters.outcome(of: 1, within: .seconds(3_600)) == "early")
  }

  @Test func outcomesThatNobodyWaitsForAreBounded() async {
    let waiters = Waiters<Int, String>()
    for key in 0...Waiters<Int, String>.earlyLimit { waiters.resolve(key, "\(key)") }
    #expect(await waiters.outcome(of: 0, within: .zero) == nil)
    #expect(await waiters.outcome(of: 1, within: .seconds(3_600)) == "1")
  }

  @Test func aRingBeforeThePauseEndsIt() async throws {
    let alarm = Alarm()
    alarm.ring()
    try await alarm.pause(atMost: .seconds(3_600))
  }

  @Test func aCancelledPauseEnds() async {
    let alarm = Alarm()
    await withTaskGroup(of: Bool.self) { group in
      group.cancelAll()
      group.addTask {
        do { try await alarm.pause(atMost: .seconds(3_600)) } catch { return true }
        return false
      }
      for await wasCancelled in group { #expect(wasCancelled) }
    }
  }
}
