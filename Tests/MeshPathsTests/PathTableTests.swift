import MeshWire
import Testing

@testable import MeshPaths

/// A table whose checks are answered, or not, after a time that each path has.
private struct Paths {
  var table = PathTable()
  var now = Instant(nanoseconds: 1_000_000_000_000)
  /// From check to answer; a path without one loses everything.
  var answers: [Endpoint: Duration] = [:]
  /// What was told, with its time since the beginning.
  var actions: [(at: Duration, action: PathAction)] = []
  private var underWay: [(at: Instant, id: UInt64, from: Endpoint)] = []
  private var nextID: UInt64 = 1
  private let start = Instant(nanoseconds: 1_000_000_000_000)

  mutating func run(_ duration: Duration, talking: Bool = false) {
    let end = now + duration
    var nextTalk = now
    while true {
      var due = [end, underWay.map(\.at).min(), table.nextDeadline].compactMap { $0 }
      if talking { due.append(nextTalk) }
      now = max(now, due.min() ?? end)
      for arrival in underWay.filter({ $0.at <= now }) {
        _ = table.answered(arrival.id, from: arrival.from, now: now)
      }
      underWay.removeAll { $0.at <= now }
      if talking, nextTalk <= now {
        table.sent(now: now)
        if let inUse = table.inUse, answers[inUse] != nil { table.heard(from: inUse, now: now) }
        nextTalk = now + .milliseconds(20)
      }
      advance()
      if now >= end { return }
    }
  }

  mutating func advance() {
    var wanted: [PathAction] = []
    var id = nextID
    table.advance(
      to: now,
      nextID: {
        id += 1
        return id
      }, into: &wanted)
    nextID = id
    for action in wanted {
      actions.append((now - start, action))
      if case .check(let id, let endpoint) = action, let time = answers[endpoint] {
        underWay.append((now + time, id, endpoint))
      }
    }
  }

  var switches: [(at: Duration, to: Endpoint, why: PathChange)] {
    actions.compactMap {
      if case .use(let endpoint, let why) = $0.action { ($0.at, endpoint, why) } else { nil }
    }
  }

  func checks(of endpoint: Endpoint) -> Int {
    actions.count { if case .check(_, let to) = $0.action { to == endpoint } else { false } }
  }
}

@Suite struct PathTableTests {
  private let direct = Endpoint(.v4(0xc633_6401), port: 40_000)
  private let other = Endpoint(.v4(0xc633_6402), port: 40_001)
  private let lan = Endpoint(.v4(0xc0a8_0102), port: 40_000)
  private let relay = Endpoint(CircuitNumber(number: 1))
  private let relayed = PathKind.relayed(hops: 1)

  private func onRelay() -> Paths {
    var paths = Paths()
    paths.answers[relay] = .milliseconds(120)
    paths.table.established(on: relay, relayed, now: paths.now)
    return paths
  }

  @Test("a direct path takes over from a relay as soon as a check has passed both ways")
  func upgrades() {
    var paths = onRelay()
    paths.answers[direct] = .milliseconds(80)
    paths.table.found(direct, .direct, now: paths.now)
    paths.run(.seconds(1))
    #expect(paths.table.inUse == direct)
    #expect(paths.switches.first?.at == .milliseconds(80) && paths.switches.first?.why == .better)
  }

  @Test("a path whose checks nobody answers is never used, and gets six at most each time it is named")
  func neverUnproven() {
    var paths = onRelay()
    paths.table.found(direct, .direct, now: paths.now)
    paths.run(.milliseconds(1_900))
    #expect(paths.table.inUse == relay && paths.switches.isEmpty)
    #expect(paths.checks(of: direct) <= PathLimits.tries)
  }

  @Test("whoever names addresses without end has few checks sent there, and a true one is found after")
  func namedWithoutEnd() {
    var paths = onRelay()
    let time = 600
    for round in 0..<time * 2 {
      for number in 0..<8 {
        let named = Endpoint(.v4(0xcb00_7100 + UInt32(number)), port: UInt16(1 + round % 60_000))
        paths.table.named(named, .direct, now: paths.now)
      }
      paths.run(.milliseconds(500), talking: true)
    }
    let sent = paths.actions.count { action in
      if case .check(_, let to) = action.action { to != relay } else { false }
    }
    #expect(sent <= PathLimits.unansweredChecks + time + 1)
    #expect(paths.table.withheld > 0)
    paths.run(.seconds(10))
    paths.answers[direct] = .milliseconds(80)
    paths.table.named(direct, .direct, now: paths.now)
    paths.run(.seconds(2))
    #expect(paths.table.inUse == direct)
  }

  @Test("an answer to a check that was never sent, or from elsewhere, proves nothing")
  func forgedAnswers() {
    var paths = onRelay()
    paths.table.found(direct, .direct, now: paths.now)
    paths.advance()
    let known = paths.actions.compactMap { if case .check(let id, _) = $0.action { id } else { nil } }
    let (now, unknown, elsewhere) = (paths.now, UInt64.max, other)
    let forged = [
      paths.table.answered(unknown, from: direct, now: now),
      paths.table.answered(known[0], from: elsewhere, now: now),
    ]
    #expect(forged == [false, false])
    #expect(paths.table.path(to: direct)?.isProven == false)
    let real = [
      paths.table.answered(known[0], from: direct, now: now),
      paths.table.answered(known[0], from: direct, now: now),
    ]
    #expect(real == [true, false], "once")
  }

  @Test("the path in use falls silent under traffic: another one carries it within 3 s")
  func stepsBack() throws {
    var paths = onRelay()
    paths.answers[direct] = .milliseconds(80)
    paths.table.found(direct, .direct, now: paths.now)
    paths.run(.seconds(5), talking: true)
    #expect(paths.table.inUse == direct)
    paths.answers[direct] = nil
    paths.run(.seconds(3), talking: true)
    #expect(paths.table.inUse == relay)
    let last = try #require(paths.switches.last)
    #expect(last.why == .silent && last.at - .seconds(5) < .seconds(2))
    // It comes back, and isn't trusted at once.
    paths.answers[direct] = .milliseconds(80)
    paths.run(.seconds(2), talking: true)
    #expect(paths.table.inUse == relay)
    paths.run(.seconds(70), talking: true)
    #expect(paths.table.inUse == direct)
  }

  @Test("traffic that goes one way is asked about, and stays where it is")
  func oneWay() {
    var paths = onRelay()
    paths.answers[direct] = .milliseconds(80)
    paths.table.found(direct, .direct, now: paths.now)
    paths.run(.seconds(1))
    let before = paths.switches.count
    for _ in 0..<100 {
      paths.table.sent(now: paths.now)
      paths.run(.milliseconds(100))
    }
    #expect(paths.switches.count == before && paths.table.inUse == direct)
    #expect(paths.checks(of: direct) < 30, "about one a second")
  }

  @Test("a lossy path that still answers now and then is kept")
  func lossy() {
    var paths = onRelay()
    paths.run(.seconds(1))
    // One packet of four comes back.
    for step in 0..<400 {
      paths.table.sent(now: paths.now)
      if step % 4 == 0 { paths.table.heard(from: relay, now: paths.now) }
      paths.run(.milliseconds(50))
    }
    #expect(paths.switches.isEmpty)
  }

  @Test("an address in the same network is better than the outer one")
  func prefersLocal() {
    var paths = Paths()
    paths.answers = [direct: .milliseconds(80), lan: .milliseconds(1)]
    paths.table.established(on: direct, .direct, now: paths.now)
    paths.table.found(lan, .local, now: paths.now)
    paths.run(.seconds(1))
    #expect(paths.table.inUse == lan)
  }

  @Test("of two equals the faster is used, and a little faster is not worth the change")
  func comparesEquals() {
    for (milliseconds, expected) in [(20, other), (78, direct)] as [(Int64, Endpoint)] {
      var paths = Paths()
      paths.answers = [direct: .milliseconds(80), other: .milliseconds(milliseconds)]
      paths.table.established(on: direct, .direct, now: paths.now)
      paths.table.found(other, .direct, now: paths.now)
      paths.table.named(direct, .direct, now: paths.now)
      paths.table.addressesChanged(now: paths.now)
      paths.run(.milliseconds(150))
      paths.run(.seconds(60), talking: true)
      if expected == other { #expect(paths.table.inUse == other) }
      #expect(paths.switches.count <= 1)
    }
  }

  @Test("while relayed, the peer is asked for its candidates at once, and then once a minute")
  func punchesAgain() {
    var paths = onRelay()
    paths.run(.seconds(300))
    let asked = paths.actions.compactMap { $0.action == .wantsCandidates ? $0.at : nil }
    #expect(asked.first == .zero && asked.count >= 6 && asked.count <= 9)
  }

  @Test("a circuit that ends is left at once")
  func circuitEnds() {
    var paths = onRelay()
    let second = Endpoint(CircuitNumber(number: 2))
    paths.answers[second] = .milliseconds(150)
    paths.table.found(second, relayed, now: paths.now)
    paths.run(.seconds(1))
    paths.table.lost(relay, now: paths.now)
    paths.run(.milliseconds(400))
    #expect(paths.table.inUse == second && paths.switches.last?.why == .gone)
    #expect(paths.actions.contains { $0.action == .wantsRelay })
  }

  @Test("a silent relay is doubted though another circuit is known: that may lead through it as well")
  func anotherRelay() {
    var paths = onRelay()
    let second = Endpoint(CircuitNumber(number: 2))
    paths.answers[second] = .milliseconds(150)
    paths.table.found(second, relayed, now: paths.now)
    paths.run(.seconds(2), talking: true)
    #expect(!paths.actions.contains { $0.action == .wantsRelay })
    paths.answers = [:]
    paths.run(.seconds(2), talking: true)
    #expect(paths.actions.contains { $0.action == .wantsRelay })
  }

  @Test("no more than sixteen paths are kept, and the one in use always is")
  func bounded() {
    var paths = onRelay()
    for number in 0..<40 {
      paths.table.found(Endpoint(.v4(0xc633_6500 + UInt32(number)), port: 1), .direct, now: paths.now)
    }
    #expect(paths.table.paths.count == PathLimits.paths && paths.table.refused > 0)
    #expect(paths.table.knows(relay))
    let moved = Endpoint(.v4(0xc633_6601), port: 9)
    paths.table.moved(to: moved, .direct, now: paths.now)
    #expect(paths.table.inUse == moved && paths.table.paths.count == PathLimits.paths)
  }

  // MARK: A peer that moves

  @Test func `a path that the peer moved to is left when no full-size packet passes there`() throws {
    var paths = onRelay()
    paths.run(.seconds(1), talking: true)
    paths.table.moved(to: direct, .direct, now: paths.now)
    let moved = paths.now
    // Small packets go on passing both ways; checks, which are of full size, don't.
    while paths.table.inUse == direct, paths.now < moved + .seconds(5) {
      paths.table.sent(now: paths.now)
      paths.table.heard(from: direct, now: paths.now)
      paths.run(.milliseconds(20))
    }
    #expect(paths.table.inUse == relay)
    #expect(paths.now - moved < .seconds(3), "protocol.md §7: back in under 3 s")
    #expect(paths.switches.map(\.why) == [.unproven])
    // Held down, as a path that fell silent is: what comes from there does not bring it back at once.
    paths.run(.seconds(2), talking: true)
    #expect(paths.table.inUse == relay)
  }

  @Test func `a path that the peer moved to stays when full-size packets pass, or nothing else answers`() {
    for answers in [true, false] {
      var paths = onRelay()
      paths.answers[direct] = answers ? .milliseconds(80) : nil
      if !answers { paths.answers[relay] = nil }
      paths.table.moved(to: direct, .direct, now: paths.now)
      for _ in 0..<500 {
        paths.table.sent(now: paths.now)
        paths.table.heard(from: direct, now: paths.now)
        paths.run(.milliseconds(20))
      }
      #expect(paths.table.inUse == direct && !paths.table.isInDoubt)
      #expect(paths.table.hasProven(direct) == answers)
      #expect(paths.switches.isEmpty)
    }
  }
}
