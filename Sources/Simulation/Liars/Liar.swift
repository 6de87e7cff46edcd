import MeshCrypto
import MeshNode
import MeshSession
import MeshWire

/// A node that speaks the protocol as it should and answers as it likes.
///
/// It has no timers, and its cryptography takes no time: what gets lost, the other side asks for again.
struct Liar {
  private var chance: Chance
  private let identity: IdentityPublicKey
  private var responders: ResponderTable
  private var sessions: [UInt32: Session] = [:]
  /// Receive indexes, the oldest first.
  private var order: [UInt32] = []
  /// Sessions that it keeps; older ones are forgotten.
  private static let sessionLimit = 512

  init(_ identity: IdentityPublicKey, seed: UInt64, chance: Chance, now: Instant) {
    var own = chance.stream(seed)
    self.identity = identity
    responders = ResponderTable(
      own: identity, alwaysDemandsCookie: false, secretSeed: own.bytes(32), now: now)
    self.chance = own
  }

  /// Takes a datagram; what it says goes back to where that came from.
  mutating func receive(
    _ datagram: [UInt8], from source: Endpoint, now: Instant,
    answer: (ControlMessage, inout Chance) -> [ControlMessage]
  ) -> [[UInt8]] {
    guard let type = datagram.first else { return [] }
    var output: [[UInt8]] = []
    if type == 1 {
      open(datagram, now, answer, &output)
      return output
    }
    let index = freshIndex()
    var actions: [ResponderAction] = []
    responders.receive(
      datagram, from: source, now: now, queuedJobs: 0, freshIndex: { index },
      admission: { _ in .accept(knownKey: nil) }, into: &actions)
    while !actions.isEmpty {
      var more: [ResponderAction] = []
      for action in actions {
        switch action {
        case .send(let datagram, _): output.append(datagram)
        case .compute(let id, let job):
          let result = StandIn.perform(job, as: identity, chance: &chance)
          responders.computed(id, result, now: now, into: &more)
        case .established(let session, _, _, let early):
          keep(session)
          for datagram in early { open(datagram, now, answer, &output) }
        case .confirmAgain(let index, _):
          var replies: [SessionAction] = []
          sessions[index]?.confirm(now: now, into: &replies)
          carryOut(replies, index, now, &output)
        case .indexRetired, .dropped: break
        }
      }
      actions = more
    }
    return output
  }

  private mutating func freshIndex() -> UInt32 {
    while true {
      let index = UInt32(truncatingIfNeeded: chance.next())
      if index != 0, sessions[index] == nil { return index }
    }
  }

  private mutating func keep(_ session: Session) {
    guard let index = session.receiveIndexes.first else { return }
    sessions[index] = session
    order.append(index)
    if order.count > Self.sessionLimit { sessions[order.removeFirst()] = nil }
  }

  private mutating func open(
    _ datagram: [UInt8], _ now: Instant, _ answer: (ControlMessage, inout Chance) -> [ControlMessage],
    _ output: inout [[UInt8]]
  ) {
    guard datagram.count >= 16 else { return }
    let index = datagram[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    guard sessions[index] != nil else { return }
    var bytes = datagram
    var span = bytes.mutableSpan
    var actions: [SessionAction] = []
    let outcome = sessions[index]!.open(&span, now: now, into: &actions)
    if case .control(let text) = outcome, let message = try? ControlMessage(decoding: text) {
      for reply in answer(message, &chance) {
        _ = sessions[index]!.send(control: reply.encoded, now: now, into: &actions)
      }
    }
    carryOut(actions, index, now, &output)
  }

  private mutating func carryOut(
    _ actions: [SessionAction], _ index: UInt32, _ now: Instant, _ output: inout [[UInt8]]
  ) {
    for action in actions {
      switch action {
      case .send(let datagram), .sendProbe(let datagram): output.append(datagram)
      default: break
      }
    }
  }
}
