import MeshCrypto
import MeshPaths
import MeshRelay
import MeshWire

/// Round trips to relays that aren't in use, by one STUN question each (RFC 8489): every public node answers
/// it, without a session. What comes back says how far a relay is and no more: only circuits show that it
/// keeps its promises.
struct RelayProbes {
  /// Questions within ``window``, however long the lists are and however often they come.
  static let limit = 16
  static let window = Duration.seconds(60)
  /// An answer later than this is none.
  static let patience = Duration.seconds(3)
  /// How long the choice of where to reserve waits for the answers.
  static let head = Duration.milliseconds(400)
  /// A relay that did not answer is not asked again sooner, and one that did is measured anew after so long.
  static let rest = Duration.seconds(600)
  static let again = Duration.seconds(3_600)
  /// Relays that are kept in mind; beyond these, who was asked longest ago may be asked sooner.
  static let remembered = 256

  private struct Probe {
    let relay: KeyHash
    let endpoint: Endpoint
    let transaction: STUNTransaction
    let sentAt: Instant
    var isWaiting = true
  }

  /// The last one to each relay, oldest first.
  private var probes: [Probe] = []

  /// How many answers may still come in time.
  func waiting(now: Instant) -> Int { probes.count { $0.isWaiting && now - $0.sentAt < Self.patience } }

  /// How many may be asked now.
  func room(now: Instant) -> Int { max(0, Self.limit - probes.count { now - $0.sentAt < Self.window }) }

  /// Whether a relay was not asked a short while ago.
  func isDue(_ relay: KeyHash, now: Instant) -> Bool {
    !probes.contains {
      $0.relay == relay && now - $0.sentAt < ($0.isWaiting ? Self.rest : Self.again)
    }
  }

  /// Where those are that answered, the latest first, one of a /24 or /56: they know of us already, and can
  /// say where they see us.
  var answering: [Endpoint] {
    var seen: Set<IPAddress> = []
    return probes.reversed().filter { !$0.isWaiting && seen.insert($0.endpoint.address.limitPrefix).inserted }
      .map(\.endpoint)
  }

  /// Notes a question, and returns its datagram.
  mutating func ask(_ relay: RelayProfile, random: [UInt8], now: Instant) -> [UInt8]? {
    guard let transaction = STUNTransaction(random) else { return nil }
    probes.removeAll { $0.relay == relay.keyHash }
    if probes.count >= Self.remembered { probes.removeFirst() }
    probes.append(
      Probe(relay: relay.keyHash, endpoint: relay.endpoint, transaction: transaction, sentAt: now))
    return STUNMessage(.request, transaction).encoded
  }

  /// Whose answer came, and how long it took; `nil` when it is nobody's that was asked there.
  mutating func answered(_ bytes: [UInt8], from source: Endpoint, now: Instant) -> (KeyHash, Duration)? {
    guard waiting(now: now) > 0, let message = try? STUNMessage(decoding: bytes),
      message.messageClass == .success, message.method == STUNMessage.binding,
      let position = probes.firstIndex(where: {
        $0.isWaiting && $0.transaction == message.transaction && $0.endpoint == source
          && now - $0.sentAt < Self.patience
      })
    else { return nil }
    probes[position].isWaiting = false
    return (probes[position].relay, now - probes[position].sentAt)
  }
}

extension MeshNode {
  /// Asks relays of a new list how far they are. Only of the list: who else is known was found on the way to
  /// some peer, and shall not hear from us for that.
  mutating func probeRelays(_ listed: [RelayProfile], now: Instant) {
    let due = listed.filter {
      relays.held[$0.keyHash] == nil && !relays.selection.isResting($0.keyHash, now: now)
        && relays.probes.isDue($0.keyHash, now: now)
    }
    // Who is asked, and a moment later gets a circuit from another relay, could put the two together.
    let isBuilding = relays.wanted.values.contains { $0.hops > 1 && $0.circuit == nil }
    let room = isBuilding ? 0 : relays.probes.room(now: now)
    // Not always the same ones of a long list.
    let start = due.count > room ? Int(random.next() % UInt64(due.count)) : 0
    for relay in (due[start...] + due[..<start]).prefix(room) {
      let bytes = random.bytes(STUNTransaction.size)
      guard let datagram = relays.probes.ask(relay, random: bytes, now: now) else { continue }
      counters.relayProbesSent += 1
      emit(.send(datagram, to: relay.endpoint))
    }
    counters.relayProbesHeld += UInt64(max(0, due.count - room))
  }

  /// Takes the answer of a relay. Returns whether it was one.
  mutating func takeProbe(_ bytes: [UInt8], from source: Endpoint, now: Instant) -> Bool {
    guard let (relay, roundTrip) = relays.probes.answered(bytes, from: source, now: now) else { return false }
    counters.relayProbesAnswered += 1
    relays.selection.measured(relay, roundTrip)
    // All have answered: the choice has its figures.
    if relays.probes.waiting(now: now) == 0 {
      if let look = relays.nextReservationLook, look > now { relays.nextReservationLook = now }
      askPublicNodes(now: now)
    }
    return true
  }

  /// There are too few relays for what is wanted.
  mutating func relaysRunShort(now: Instant) {
    guard relays.shortage.found(now: now) else { return }
    counters.relaysWanted += 1
    emit(.relaysWanted)
  }
}
