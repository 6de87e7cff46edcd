import MeshCrypto
import MeshWire
import Testing

@testable import MeshRelay

/// A client, relays and a node that reserved at the last of them, with links that carry everything at once.
struct RelayWorld {
  enum Message {
    case cell([UInt8])
    case create(UInt32, [UInt8])
    case close(UInt32, CircuitEnd)
  }

  struct Sent {
    let from: KeyHash
    let to: KeyHash
    let message: Message
  }

  var now = Instant(nanoseconds: 1_000_000_000_000)
  var wall = WallTime(secondsSinceEpoch: 1_800_000_000)
  var client: CircuitClient
  var holder: CircuitClient
  var relays: [RelayServer] = []
  let clientKey: KeyHash
  let holderKey: KeyHash
  let relayKeys: [KeyHash]
  var secrets: [KeyExchangeSecret] = []
  var reservation: [UInt8] = []
  /// Everything that went over a link, in order.
  var sent: [Sent] = []
  var received: [[UInt8]] = []
  var answers: [[UInt8]] = []
  var ready: [CircuitNumber] = []
  var ends: [CircuitEnd] = []
  var inbound: [CircuitNumber] = []
  var outcomes: [Relayed] = []
  var contents: [CellContent] = []
  /// The network of each neighbour.
  var prefix: (KeyHash) -> IPAddress? = { _ in nil }
  /// What becomes of each message on its link.
  var fate: (Sent) -> [Sent] = { [$0] }
  private var queue: [Sent] = []
  private var random: UInt32 = 7

  init(relays count: Int, limits: RelayLimits = RelayLimits(offer: 100)) throws {
    func key(_ number: UInt8) throws -> KeyHash {
      try #require(KeyHash(Primitives.sha256([number])))
    }
    clientKey = try key(1)
    holderKey = try key(2)
    relayKeys = try (0..<count).map { try key(10 + UInt8($0)) }
    client = CircuitClient(own: clientKey)
    holder = CircuitClient(own: holderKey)
    for key in relayKeys {
      var relay = RelayServer(own: key, limits: limits, now: now)
      let secret = try KeyExchangeSecret()
      relay.add(onionKey: secret, week: 1)
      secrets.append(secret)
      relays.append(relay)
    }
    let place = relays[count - 1].reserve(
      for: holderKey.peerID, prefix: nil, fresh: [UInt8](repeating: 5, count: 16), now: now)
    reservation = try #require(place).id
  }

  var path: [RelayHop] {
    relayKeys.indices.map {
      RelayHop(
        keyHash: relayKeys[$0], endpoint: Endpoint(.v4(0xc612_0001 + UInt32($0) << 8), port: 8_443),
        onionKey: secrets[$0].offer)
    }
  }

  func key(of peerID: PeerID) -> KeyHash? {
    ([clientKey, holderKey] + relayKeys).first { $0.peerID == peerID }
  }

  @discardableResult
  mutating func build(_ path: [RelayHop]? = nil) -> CircuitNumber? {
    var actions: [CircuitAction] = []
    let number = client.begin(path ?? self.path, reservation: reservation, now: now, into: &actions)
    perform(actions, of: clientKey)
    run()
    return number
  }

  mutating func perform(_ actions: [CircuitAction], of node: KeyHash) {
    for action in actions {
      switch action {
      case .compute(let circuit, let hop, .answer(let offer)):
        var more: [CircuitAction] = []
        let result: CryptoResult
        if let (answer, secret) = try? KeyExchangeSecret.answer(offer) {
          result = .answered(answer, secret)
        } else {
          result = .failed
        }
        random &+= 1
        client.computed(circuit, hop: hop, result, random: random, now: now, wall: wall, into: &more)
        perform(more, of: node)
      case .compute: Issue.record("a client computes answers only")
      case .create(let circuit, let layer, let relay, _): post(node, relay, .create(circuit, layer))
      case .send(let cell, let peerID): if let to = key(of: peerID) { post(node, to, .cell(cell)) }
      case .close(let circuit, let end, let peerID):
        if let to = key(of: peerID) { post(node, to, .close(circuit, end)) }
      case .ready(let circuit, _, _): ready.append(circuit)
      case .lost(_, let end, _, _): ends.append(end)
      case .measured: break
      }
    }
  }

  mutating func perform(_ actions: [RelayAction], of relay: KeyHash) {
    for action in actions {
      switch action {
      case .send(let cell, let peerID): if let to = key(of: peerID) { post(relay, to, .cell(cell)) }
      case .extend(let to, _, let circuit, let layer): post(relay, to, .create(circuit, layer))
      case .close(let circuit, let end, let peerID):
        if let to = key(of: peerID) { post(relay, to, .close(circuit, end)) }
      }
    }
  }

  mutating func post(_ from: KeyHash, _ to: KeyHash, _ message: Message) {
    let sent = Sent(from: from, to: to, message: message)
    self.sent.append(sent)
    queue += fate(sent)
  }

  mutating func run() {
    while !queue.isEmpty { deliver(queue.removeFirst()) }
  }

  mutating func deliver(_ sent: Sent) {
    if let relay = relayKeys.firstIndex(of: sent.to) {
      deliver(sent, toRelay: relay)
    } else {
      deliver(sent, toEnd: sent.to)
    }
  }

  private mutating func deliver(_ sent: Sent, toRelay index: Int) {
    var actions: [RelayAction] = []
    switch sent.message {
    case .cell(var bytes):
      var span = bytes.mutableSpan
      let outcome = relays[index].relay(&span, from: sent.from.peerID, of: prefix(sent.from), now: now)
      outcomes.append(outcome)
      if case .forward(let next) = outcome, let to = key(of: next) {
        post(relayKeys[index], to, .cell(bytes))
      }
    case .create(let circuit, let layer):
      let outcome = relays[index].create(
        circuit, layer, from: sent.from, prefix: nil, now: now, into: &actions)
      switch outcome {
      case .compute(let ticket, .open(let answer, let secret)):
        let result: CryptoResult = (try? secret.open(answer)).map { .opened($0) } ?? .failed
        random &+= 1
        let known = [clientKey, holderKey] + relayKeys
        relays[index].computed(
          ticket, result, random: random, now: now, wall: wall,
          holder: { peerID in known.first { $0.peerID == peerID } }, into: &actions)
      case .compute: Issue.record("a relay opens answers only")
      case .repeated: break
      case .refused(let end): post(relayKeys[index], sent.from, .close(circuit, end))
      }
    case .close(let circuit, let end):
      _ = relays[index].closed(circuit, end, by: sent.from.peerID, into: &actions)
    }
    perform(actions, of: relayKeys[index])
  }

  private mutating func deliver(_ sent: Sent, toEnd end: KeyHash) {
    let isClient = end == clientKey
    var actions: [CircuitAction] = []
    switch sent.message {
    case .cell(var bytes):
      var span = bytes.mutableSpan
      let content =
        isClient
        ? client.open(&span, from: sent.from, reservedThere: false, now: now, into: &actions)
        : holder.open(
          &span, from: sent.from, reservedThere: sent.from == relayKeys.last, now: now, into: &actions)
      contents.append(content)
      if case .datagram(let number, let range) = content {
        let datagram = Array(bytes[range])
        if isClient { answers.append(datagram) } else { received.append(datagram) }
        if !isClient { inbound.append(number) }
      }
    case .create: Issue.record("an end builds nothing on")
    case .close(let circuit, let end):
      _ =
        isClient
        ? client.closed(circuit, end, by: sent.from.peerID, into: &actions)
        : holder.closed(circuit, end, by: sent.from.peerID, into: &actions)
    }
    perform(actions, of: end)
  }

  /// Sends a datagram from the client into a circuit, and lets everything arrive.
  mutating func send(_ datagram: [UInt8], _ circuit: CircuitNumber) {
    var cell = [UInt8](repeating: 0, count: CellLayout.cellSize)
    var span = cell.mutableSpan
    guard case .success(let entry) = client.seal(datagram.span, circuit, into: &span, now: now),
      let to = key(of: entry)
    else { return }
    post(clientKey, to, .cell(cell))
    run()
  }

  /// The holder answers in the circuit that a datagram came through.
  mutating func answer(_ datagram: [UInt8], _ circuit: CircuitNumber) {
    var cell = [UInt8](repeating: 0, count: CellLayout.cellSize)
    var span = cell.mutableSpan
    guard case .success(let entry) = holder.seal(datagram.span, circuit, into: &span, now: now),
      let to = key(of: entry)
    else { return }
    post(holderKey, to, .cell(cell))
    run()
  }

  /// The cells that went over the link between two nodes, in order.
  func cells(_ from: KeyHash, _ to: KeyHash) -> [[UInt8]] {
    sent.compactMap {
      if $0.from == from, $0.to == to, case .cell(let bytes) = $0.message { bytes } else { nil }
    }
  }

  mutating func wait(_ duration: Duration) {
    let end = now + duration
    while now < end {
      now = min(end, now + .milliseconds(500))
      var mine: [CircuitAction] = []
      client.advance(to: now, into: &mine)
      perform(mine, of: clientKey)
      var theirs: [CircuitAction] = []
      holder.advance(to: now, into: &theirs)
      perform(theirs, of: holderKey)
      for index in relays.indices {
        var actions: [RelayAction] = []
        relays[index].advance(to: now, into: &actions)
        perform(actions, of: relayKeys[index])
      }
      run()
    }
  }
}
