import Harness
import MeshCrypto
import MeshRelay
import MeshWire

@testable import MeshSession

/// One that talks to the node: its identity, its end of an authenticated session, and of circuits.
struct Party {
  let identity: IdentityKey
  /// Where its session began.
  let home: Endpoint
  /// The newest one last.
  var sessions: [Session] = []
  /// Whether what is sealed next goes into the oldest session.
  var usesFirst = false
  /// The id of the last request that the node sent here.
  var asked: UInt32 = 0
  var circuits: CircuitClient
  /// The circuit that datagrams go into.
  var standing: CircuitNumber?
  /// What it relays; only of one that the node reserves at.
  var relay: RelayBehind?
  /// A create message for the node that is ready, or was the last one.
  var create: (circuit: UInt32, layer: [UInt8])?

  var keyHash: KeyHash { identity.keyHash }
  var peerID: PeerID { identity.keyHash.peerID }

  init(_ number: UInt8, at home: Endpoint) {
    guard let identity = try? IdentityKey(seed: [UInt8](repeating: number, count: IdentityKey.seedSize))
    else { preconditionFailure("a seed of 32 bytes is a key") }
    self.identity = identity
    self.home = home
    circuits = CircuitClient(own: identity.keyHash)
  }

  /// Seals a cell for the node; in two datagrams on a path that carries less.
  mutating func seal(cell: [UInt8], now: Instant) -> [[UInt8]] {
    seal(cell.count) { session, output in session.seal(cell: cell.span, into: &output, now: now) }
  }

  mutating func seal(packet: [UInt8], now: Instant) -> [[UInt8]] {
    seal(packet.count) { session, output in session.seal(packet.span, into: &output, now: now) }
  }

  private mutating func seal(
    _ size: Int, _ seal: (inout Session, inout MutableSpan<UInt8>) -> SealOutcome
  ) -> [[UInt8]] {
    guard let speaking else { return [] }
    var output = [UInt8](repeating: 0, count: size + 128)
    var span = output.mutableSpan
    switch seal(&sessions[speaking], &span) {
    case .one(let count): return [Array(output[..<count])]
    case .two(let first, let second):
      return [Array(output[..<first]), Array(output[first..<(first + second)])]
    case .refused: return []
    }
  }

  /// Seals whatever it is: the byte that says what follows, and that.
  mutating func seal(content: [UInt8]) -> [[UInt8]] {
    guard let speaking else { return [] }
    return [sessions[speaking].sealWhole(Array(content.prefix(1_400)))]
  }

  private var speaking: Int? { usesFirst ? sessions.indices.first : sessions.indices.last }

  /// The cell in which a datagram comes to the node: through a circuit of this party's, or of the one behind
  /// the relay. `nil` where none stands.
  mutating func cell(with datagram: [UInt8], now: Instant) -> [UInt8]? {
    if relay != nil { return relay?.answer(datagram, now: now) }
    var cell = [UInt8](repeating: 0, count: CellLayout.cellSize)
    var span = cell.mutableSpan
    guard let standing, case .success = circuits.seal(datagram.span, standing, into: &span, now: now)
    else { return nil }
    return cell
  }

  mutating func seal(control: [UInt8], now: Instant) -> [[UInt8]] {
    guard let speaking else { return [] }
    var actions: [SessionAction] = []
    _ = sessions[speaking].send(control: control, now: now, into: &actions)
    return actions.compactMap { if case .send(let bytes) = $0 { bytes } else { nil } }
  }
}

/// A handshake that the node began: what its first datagram tells whoever it goes to.
struct OwnAttempt {
  let id: ArraySlice<UInt8>
  let random: [UInt8]
  let target: Endpoint?

  /// `nil` for anything but the first fragment of M1 (SMH1.md §2, §3).
  ///
  /// - Parameter target: `nil` through a circuit.
  init?(_ datagram: [UInt8], to target: Endpoint?) {
    guard datagram.count >= 490, datagram[0] == 2, datagram[3] == 1 else { return nil }
    id = datagram[5..<13]
    random = Array(datagram[458..<490])
    self.target = target
  }

  /// Makes an answer to it of a datagram.
  func answer(_ bytes: [UInt8]) -> [UInt8] {
    guard bytes.count >= 29 else { return bytes }
    var bytes = bytes
    bytes.replaceSubrange(5..<13, with: id)
    ClearMacs.seal(&bytes, random: random)
    return bytes
  }
}

/// What is behind a relay that the node uses: the relay's serving half, and a node that has reserved there.
struct RelayBehind {
  private let own: KeyHash
  private let holder: KeyHash
  private var server: RelayServer
  private var reached: CircuitClient
  /// The circuit that ends at the holder.
  private var standing: CircuitNumber?
  /// The node's handshake with the holder.
  private(set) var attempt: OwnAttempt?
  var isReached: Bool { standing != nil }
  let onionKey: KeyExchangeOffer
  let reservation: [UInt8]

  init(own: KeyHash, holder: KeyHash, now: Instant) {
    self.own = own
    self.holder = holder
    server = RelayServer(own: own, limits: RelayLimits(offer: 1_000), now: now)
    reached = CircuitClient(own: holder)
    guard
      let secret = try? KeyExchangeSecret(
        x25519Seed: [UInt8](repeating: 1, count: 32), mlkemSeed: [UInt8](repeating: 2, count: 64)),
      let place = server.reserve(
        for: holder.peerID, prefix: nil, fresh: [UInt8](repeating: 4, count: 16), now: now)
    else { preconditionFailure("fixed seeds make keys") }
    server.add(onionKey: secret, week: 1)
    onionKey = secret.offer
    reservation = place.id
  }

  /// Takes a create message of the node's; returns cells for it.
  mutating func create(
    _ circuit: UInt32, _ layer: [UInt8], from node: KeyHash, now: Instant, wall: WallTime, jobs: inout Int
  ) -> [[UInt8]] {
    var actions: [RelayAction] = []
    let outcome = server.create(circuit, layer, from: node, prefix: nil, now: now, into: &actions)
    if case .compute(let ticket, .open(let answer, let secret)) = outcome {
      jobs -= 1
      let result: CryptoResult =
        jobs < 0 ? .failed : (try? secret.open(answer)).map { .opened($0) } ?? .failed
      let holder = holder
      server.computed(
        ticket, result, random: 5, now: now, wall: wall, holder: { $0 == holder.peerID ? holder : nil },
        into: &actions)
    }
    var cells: [[UInt8]] = []
    for case .send(let cell, let to) in actions {
      if to == node.peerID { cells.append(cell) } else { reach(cell, now: now) }
    }
    return cells
  }

  /// A cell from the node; the holder hears what was in it.
  mutating func pass(_ cell: [UInt8], from node: KeyHash, now: Instant) {
    var cell = cell
    var span = cell.mutableSpan
    guard case .forward(let next) = server.relay(&span, from: node.peerID, of: nil, now: now),
      next == holder.peerID
    else { return }
    reach(cell, now: now)
  }

  private mutating func reach(_ cell: [UInt8], now: Instant) {
    var cell = cell
    var span = cell.mutableSpan
    var actions: [CircuitAction] = []
    let content = reached.open(&span, from: own, reservedThere: true, now: now, into: &actions)
    guard case .datagram(let number, let range) = content else { return }
    standing = number
    attempt = OwnAttempt(Array(cell[range]), to: nil) ?? attempt
  }

  /// The cell in which a datagram of the holder's comes to the node; `nil` while no circuit stands.
  mutating func answer(_ datagram: [UInt8], now: Instant) -> [UInt8]? {
    var cell = [UInt8](repeating: 0, count: CellLayout.cellSize)
    var span = cell.mutableSpan
    guard let standing, case .success = reached.seal(datagram.span, standing, into: &span, now: now),
      case .forward = server.relay(&span, from: holder.peerID, of: nil, now: now)
    else { return nil }
    return cell
  }
}
