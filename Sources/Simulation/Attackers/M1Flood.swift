import MeshCrypto
import MeshSession
import MeshWire

/// Someone who knows a node's KeyHash, as anybody may, and sends it first messages from addresses that aren't
/// his.
struct M1Flood {
  let target: KeyHash
  let endpoint: Endpoint
  private let attacker: IdentityPublicKey
  private let offer: KeyExchangeSecret
  private var chance: Chance
  /// One whole M1 that is sent again and again.
  private var captured: [[UInt8]] = []

  init(target: KeyHash, endpoint: Endpoint, chance: Chance) {
    self.target = target
    self.endpoint = endpoint
    var chance = chance
    guard let offer = try? KeyExchangeSecret(x25519Seed: chance.bytes(32), mlkemSeed: chance.bytes(64)),
      let attacker = IdentityPublicKey(chance.bytes(IdentityPublicKey.size))
    else { preconditionFailure("seeds and keys of the right size") }
    self.offer = offer
    self.attacker = attacker
    self.chance = chance
    captured = message(now: Instant(nanoseconds: 0))
  }

  /// A fresh M1: two datagrams that pass every check but the cookie's.
  private mutating func message(now: Instant) -> [[UInt8]] {
    var initiator = Initiator(
      responder: target, responderKey: attacker.keyHash == target ? attacker : nil, own: attacker,
      sendsPublicKey: true, suites: [.aes256GCM],
      entropy: InitiatorEntropy(
        id: chance.next(), random: chance.bytes(32),
        receiverIndex: UInt32(truncatingIfNeeded: chance.next()) | 1,
        jitterSeed: chance.next()),
      now: now)
    var actions: [HandshakeAction] = []
    initiator.start(now: now, into: &actions)
    initiator.computed(.offer(offer), now: now, into: &actions)
    return actions.compactMap { if case .send(let datagram) = $0 { datagram } else { nil } }
  }

  /// What goes out next: mostly whole messages, some of which only a part is ever sent, and old ones again;
  /// and the address that it pretends to come from.
  mutating func next(now: Instant) -> (source: Endpoint, datagrams: [[UInt8]]) {
    // Anywhere but in the networks of the honest.
    let address = IPAddress.v4(0x2000_0000 | UInt32(truncatingIfNeeded: chance.next()) & 0x0fff_ffff)
    let source = Endpoint(address, port: UInt16(1_024 + chance.index(below: 60_000)))
    switch chance.index(below: 10) {
    case 0: return (source, captured)
    case 1, 2, 3: return (source, [message(now: now)[0]])
    default: return (source, message(now: now))
    }
  }
}
