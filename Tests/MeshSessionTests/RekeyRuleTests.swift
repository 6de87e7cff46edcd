import MeshCrypto
import MeshWire
import Testing

@testable import MeshSession

/// What an authenticated peer can't bring about with rekey messages and path refusals.
@Suite struct RekeyRuleTests {
  private let now = World.start + .seconds(2)

  /// Bob's end, the responder's, of a session in which nothing is going on.
  private func session() -> Session { World.connected().bob.sessions[0] }

  private func request(_ secret: KeyExchangeSecret, index: UInt32 = 9) -> [UInt8] {
    RekeyMessage.encode(
      RekeyMessage.request, generation: 1, receiverIndex: index, exchange: secret.offer.bytes)
  }

  private func ask(
    _ session: inout Session, _ message: [UInt8], _ actions: inout [SessionAction]
  ) -> TransportDrop? {
    session.receiveRekeyRequest(message, now, &actions)
  }

  private func give(
    _ answer: [UInt8], to session: inout Session, _ actions: inout [SessionAction]
  ) -> TransportDrop? {
    session.receiveRekeyAnswer(answer, &actions)
  }

  private func answered(_ secret: KeyExchangeSecret) throws -> CryptoResult {
    let (answer, shared) = try KeyExchangeSecret.answer(secret.offer)
    return .answered(answer, shared)
  }

  private func jobs(_ actions: [SessionAction]) -> Int {
    actions.count { if case .compute = $0 { true } else { false } }
  }

  private func retired(_ actions: [SessionAction]) -> [UInt32] {
    actions.compactMap { if case .indexRetired(let index) = $0 { index } else { nil } }
  }

  @Test func aSupersededSessionMakesNoNewKeys() throws {
    let secret = try KeyExchangeSecret()
    var session = session()
    var actions: [SessionAction] = []
    session.supersede(now: now)
    #expect(ask(&session, request(secret), &actions) == .rekeyRefused)
    #expect(actions.isEmpty)
  }

  @Test func aResultThatComesAfterTheSessionWasSupersededIsNotUsed() throws {
    let secret = try KeyExchangeSecret()
    var session = session()
    var actions: [SessionAction] = []
    #expect(ask(&session, request(secret), &actions) == nil)
    session.supersede(now: now)
    session.computed(try answered(secret), now: now, freshIndex: { 77 }, into: &actions)
    #expect(session.epochs.count == 1 && session.rekey.isIdle && !session.receives(77))
  }

  @Test func oneRequestAtATimeCostsAKeyExchange() throws {
    let secret = try KeyExchangeSecret()
    var session = session()
    var actions: [SessionAction] = []
    #expect(ask(&session, request(secret), &actions) == nil)
    #expect(ask(&session, request(secret, index: 10), &actions) == .rekeyRefused)
    #expect(jobs(actions) == 1)
    session.computed(try answered(secret), now: now, freshIndex: { 77 }, into: &actions)
    #expect(session.hasNewerKeys)
    actions = []
    #expect(ask(&session, request(secret, index: 10), &actions) == .rekeyRefused)
    #expect(actions.isEmpty, "the answer is for the request that was made")
    #expect(ask(&session, request(secret), &actions) == nil)
    #expect(jobs(actions) == 0 && !actions.isEmpty, "the same answer again")
  }

  @Test func nothingIsDueAgainAndAgainWhileAnOfferIsMade() throws {
    var session = session()
    let due = session.rekeyDue
    var actions: [SessionAction] = []
    session.lastSent = due
    session.advance(to: due, freshIndex: { 77 }, into: &actions)
    session.probe.stop()
    #expect(jobs(actions) == 1)
    #expect(try #require(session.nextDeadline) > due)
    session.advance(to: due, freshIndex: { 77 }, into: &actions)
    #expect(jobs(actions) == 1)
  }

  @Test func noMoreThanThreeGenerationsOfKeysAreKept() throws {
    let secret = try KeyExchangeSecret()
    var session = session()
    while session.epochs.count < 3 { session.epochs.append(session.epochs[0]) }
    session.sending = 2
    var actions: [SessionAction] = []
    #expect(ask(&session, request(secret), &actions) == .rekeyRefused)
    #expect(actions.isEmpty)
  }

  /// The same, with a request of its own out under the index 5.
  private func asking(_ secret: KeyExchangeSecret) -> Session {
    var session = session()
    session.rekey.phase = .asking(secret, request: request(secret, index: 5), receiveIndex: 5)
    return session
  }

  @Test func anAnswerOfAnotherGenerationMakesNoKeys() throws {
    let secret = try KeyExchangeSecret()
    var session = asking(secret)
    let answer = try KeyExchangeSecret.answer(secret.offer).answer.bytes
    func message(_ generation: UInt32) -> [UInt8] {
      RekeyMessage.encode(
        RekeyMessage.answer, generation: generation, receiverIndex: 8, exchange: answer)
    }
    var actions: [SessionAction] = []
    for generation in [0, 2] as [UInt32] {
      #expect(give(message(generation), to: &session, &actions) == .rekeyRefused)
    }
    #expect(actions.isEmpty)
    #expect(give(message(1), to: &session, &actions) == nil)
    #expect(jobs(actions) == 1)
  }

  @Test func whoGivesWayGivesItsIndexBack() throws {
    let secret = try KeyExchangeSecret()
    var session = asking(secret)
    var actions: [SessionAction] = []
    #expect(ask(&session, request(secret), &actions) == nil)
    #expect(retired(actions) == [5])
  }

  @Test func aRequestIsRepeatedSixtyTimesAndNotForEver() throws {
    var session = asking(try KeyExchangeSecret())
    session.rekey.tries = 59
    var actions: [SessionAction] = []
    session.repeatRequest(now, &actions)
    #expect(retired(actions).isEmpty && !session.rekey.isIdle)
    session.repeatRequest(now, &actions)
    #expect(retired(actions) == [5] && session.rekey.isIdle)
  }

  @Test func whoIsNotHeardIsAskedEverMoreRarely() throws {
    var session = asking(try KeyExchangeSecret())
    session.rekey.lastRequest = nil
    var actions: [SessionAction] = []
    var at = now + .seconds(1)
    var pauses: [Duration] = []
    for number in 0..<9 {
      if number == 7 { session.lastReceived = at }
      session.repeatRequest(at, &actions)
      let next = try #require(session.rekey.nextRequest)
      pauses.append(next - at)
      at = next
    }
    #expect(pauses == [1, 2, 4, 8, 16, 16, 16, 1, 2].map { .seconds($0) })
  }

  @Test func aRefusalOfWhatWasNeverSentChangesNothing() {
    var session = session()
    session.probe.start(now: now)
    var actions: [SessionAction] = []
    session.pathRefused(size: 1_452, now: now, into: &actions)
    #expect(session.probe.asked == 1_452)
    session.fireProbe(now, &actions)
    session.pathRefused(size: 1_453, now: now, into: &actions)
    #expect(session.probe.asked == 1_452)
    session.pathRefused(size: 1_452, now: now, into: &actions)
    #expect(session.probe.asked == 1_372)
  }

  @Test func aSupersededSessionProbesNothing() {
    var session = session()
    session.supersede(now: now)
    session.probe.start(now: now)
    var actions: [SessionAction] = []
    session.fireProbe(now, &actions)
    #expect(actions.isEmpty)
  }
}
