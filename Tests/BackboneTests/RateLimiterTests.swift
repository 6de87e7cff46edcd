import MeshWire
import Testing

@testable import Backbone

@Suite("Rate limiter") struct RateLimiterTests {
  private func at(_ seconds: Double) -> MeshWire.Instant {
    MeshWire.Instant(nanoseconds: UInt64(seconds * 1e9))
  }

  @Test func `a burst passes, then one for each interval`() {
    var limiter = RateLimiter<Int>(perSecond: 2, burst: 3, capacity: 10)
    for _ in 0..<3 { #expect(limiter.secondsToWait(1, now: at(0)) == nil) }
    #expect(limiter.secondsToWait(1, now: at(0)) == 1)
    #expect(limiter.secondsToWait(2, now: at(0)) == nil)
    #expect(limiter.secondsToWait(1, now: at(0.6)) == nil)
    #expect(limiter.secondsToWait(1, now: at(0.6)) == 1)
  }

  @Test func `the table is bounded, and newcomers beyond it share one bucket`() {
    var limiter = RateLimiter<Int>(perSecond: 1, burst: 2, capacity: 4)
    for key in 0..<4 { #expect(limiter.secondsToWait(key, now: at(0)) == nil) }
    #expect(limiter.secondsToWait(100, now: at(0)) == nil)
    #expect(limiter.secondsToWait(101, now: at(0)) == nil)
    #expect(limiter.secondsToWait(102, now: at(0)) == 1)
    #expect(limiter.count == 4)
    #expect(limiter.secondsToWait(103, now: at(10)) == nil)
    #expect(limiter.count == 1)
  }

  // Were the table copied for each request, this would take minutes in place of a second.
  @Test(.timeLimit(.minutes(1))) func `a long table doesn't make a request dearer`() {
    let peers = 100_000
    var limiter = RateLimiter<Int>(perSecond: 1, burst: 8, capacity: peers)
    let now = at(0)
    var refused = 0
    for _ in 0..<8 { for key in 0..<peers where limiter.secondsToWait(key, now: now) != nil { refused += 1 } }
    #expect(refused == 0)
    #expect(limiter.count == peers)
  }
}
