import MeshPaths
import MeshWire
import RepeatableRandom

/// A NAT with one inner endpoint behind it, in the terms of RFC 4787, for the tests of the detection.
struct SimulatedNAT {
  let mapping: NATMapping
  let filtering: NATFiltering
  var hairpins = false
  var outer = IPAddress("203.0.113.5")!
  var keepsPort = true
  private var mappings: [Endpoint: UInt16] = [:]
  private var permitted: Set<Pair> = []
  private var nextPort: UInt16 = 50_000

  private struct Pair: Hashable {
    let port: UInt16
    let remote: Endpoint
  }

  init(mapping: NATMapping, filtering: NATFiltering) {
    self.mapping = mapping
    self.filtering = filtering
  }

  /// The outer source of a packet that goes out.
  mutating func send(from inner: Endpoint, to remote: Endpoint) -> Endpoint {
    if mapping == .none {
      permitted.insert(Pair(port: inner.port, remote: filterKey(remote)))
      return inner
    }
    let key: Endpoint =
      switch mapping {
      case .addressDependent: Endpoint(remote.address, port: 0)
      case .addressAndPortDependent: remote
      default: Endpoint(.v4(0), port: 0)
      }
    let port: UInt16
    if let known = mappings[key] {
      port = known
    } else if keepsPort && mappings.isEmpty {
      port = inner.port
    } else {
      nextPort += 1
      port = nextPort
    }
    mappings[key] = port
    permitted.insert(Pair(port: port, remote: filterKey(remote)))
    return Endpoint(outer, port: port)
  }

  /// Whether a packet that comes in passes.
  func admits(from remote: Endpoint, to destination: Endpoint) -> Bool {
    guard mapping == .none || mappings.values.contains(destination.port) else { return false }
    return filtering == .endpointIndependent
      || permitted.contains(Pair(port: destination.port, remote: filterKey(remote)))
  }

  private func filterKey(_ remote: Endpoint) -> Endpoint {
    filtering == .addressDependent ? Endpoint(remote.address, port: 0) : remote
  }
}

/// A client behind a NAT and servers outside, with delay and loss.
struct SimulatedInternet {
  static let inner = Endpoint("192.168.1.2:40000")!
  static let first = Endpoint("198.51.100.1:3478")!
  static let second = Endpoint("192.0.2.77:3478")!

  var nat: SimulatedNAT
  var inner = SimulatedInternet.inner
  var loss = 0.0
  var delay = Duration.milliseconds(40)
  var blocksUDP = false
  var random: SplitMix64
  /// Each with its two addresses and ports, or one of each.
  var servers: [(addresses: STUNResponder.Addresses?, at: [Endpoint], responder: STUNResponder)] = []
  /// Servers that say they see the client elsewhere than they do.
  var liars: [Endpoint: Endpoint] = [:]
  private(set) var sentTo: Set<Endpoint> = []
  private(set) var packets = 0

  private struct Flight {
    let at: Instant
    let bytes: [UInt8]
    let from: Endpoint
    let to: Endpoint
  }

  private var flights: [Flight] = []

  init(_ nat: SimulatedNAT, seed: UInt64) {
    self.nat = nat
    random = SplitMix64(seed: seed)
  }

  mutating func addServer(_ first: String, _ second: String) {
    let addresses = STUNResponder.Addresses(
      IPAddress(first)!, IPAddress(second)!, ports: 3_478, 3_479)
    let places = [addresses.first, addresses.second].flatMap { address in
      [UInt16(3_478), 3_479].map { Endpoint(address, port: $0) }
    }
    servers.append((addresses, places, STUNResponder(v4: addresses, v6: addresses)))
  }

  mutating func addPlainServer(_ endpoint: String) {
    servers.append((nil, [Endpoint(endpoint)!], STUNResponder()))
  }

  /// Runs a detection to its end.
  mutating func run(
    _ detection: inout NATDetection, asking asked: [Endpoint], from start: Instant,
    configure: (inout NATDetection.Question) -> Void = { _ in }
  ) -> NATFindings? {
    var question = NATDetection.Question(
      servers: asked, localAddresses: [inner.address], localPort: inner.port)
    configure(&question)
    var now = start
    guard detection.start(question, random: random.bytes(NATDetection.randomSize), now: now) else {
      return nil
    }
    while true {
      var sends: [STUNSend] = []
      if let findings = detection.advance(to: now, into: &sends) { return findings }
      launch(sends, now: now)
      while let index = flights.indices.filter({ flights[$0].at <= now }).min(by: {
        flights[$0].at < flights[$1].at
      }) {
        let flight = flights.remove(at: index)
        if let findings = arrive(flight, &detection, now: now) { return findings }
      }
      guard let deadline = detection.nextDeadline else { return nil }
      let next = flights.map(\.at).reduce(deadline, min)
      now = max(next, now)
    }
  }

  private mutating func launch(_ sends: [STUNSend], now: Instant) {
    for send in sends {
      packets += 1
      sentTo.insert(send.to)
      if blocksUDP || isLost { continue }
      let source = nat.send(from: inner, to: send.to)
      if send.to.address == nat.outer {
        if nat.hairpins { fly(send.bytes, from: source, to: inner, now: now) }
      } else {
        fly(send.bytes, from: source, to: send.to, now: now)
      }
    }
  }

  private var isLost: Bool { mutating get { Double.random(in: 0..<1, using: &random) < loss } }

  private mutating func fly(_ bytes: [UInt8], from: Endpoint, to: Endpoint, now: Instant) {
    flights.append(Flight(at: now + delay, bytes: bytes, from: from, to: to))
  }

  private mutating func arrive(_ flight: Flight, _ detection: inout NATDetection, now: Instant)
    -> NATFindings?
  {
    if flight.to == inner {
      return deliver(flight.bytes, from: flight.from, &detection, now: now)
    }
    if flight.to.address == nat.outer || nat.mapping == .none && flight.to == inner {
      guard nat.admits(from: flight.from, to: flight.to) else { return nil }
      return deliver(flight.bytes, from: flight.from, &detection, now: now)
    }
    for index in servers.indices where servers[index].at.contains(flight.to) {
      if let lie = liars[flight.to], let request = try? STUNMessage(decoding: flight.bytes) {
        let answer = STUNMessage(.success, request.transaction, attributes: [.xorMappedAddress(lie)])
        fly(answer.encoded, from: flight.to, to: flight.from, now: now)
        return nil
      }
      let place = servers[index].at.firstIndex(of: flight.to)!
      let socket = STUNSocket(usesOtherAddress: place / 2 == 1, usesOtherPort: place % 2 == 1)
      guard
        let answer = servers[index].responder.answer(flight.bytes, from: flight.from, at: socket, now: now)
      else { return nil }
      let origin = servers[index].at[
        (answer.from.usesOtherAddress ? 2 : 0) + (answer.from.usesOtherPort ? 1 : 0)]
      guard !isLost else { return nil }
      if flight.from == inner {
        guard nat.admits(from: origin, to: inner) else { return nil }
      }
      fly(answer.bytes, from: origin, to: flight.from, now: now)
    }
    return nil
  }

  private mutating func deliver(
    _ bytes: [UInt8], from source: Endpoint, _ detection: inout NATDetection, now: Instant
  ) -> NATFindings? {
    var sends: [STUNSend] = []
    let reception = detection.receive(bytes, from: source, now: now, into: &sends)
    launch(sends, now: now)
    if case .finished(let findings) = reception { return findings }
    return nil
  }
}
