import MeshWire

/// Names a host of a world; the number is its position.
public struct HostID: Hashable, Sendable, Comparable {
  public let number: Int
  public static func < (a: HostID, b: HostID) -> Bool { a.number < b.number }
}

/// Names a NAT of a world.
public struct NATID: Hashable, Sendable {
  let number: Int
}

/// Addresses, links, translators and partitions between the hosts.
struct Network {
  /// The quality of a link that nobody has set.
  var usual: LinkQuality
  private var links: [Pair: Link] = [:]
  private var nats: [NAT] = []
  private var natsByAddress: [IPAddress: Int] = [:]
  private var hosts: [Endpoint: HostID] = [:]
  /// For each host the translators before it, the innermost first.
  private var translators: [HostID: [NATID]] = [:]
  /// Hosts that are cut off from the others: those of a group reach each other only.
  private var groups: [HostID: Int] = [:]
  /// Hosts whose network lets no UDP through.
  private var blocked: Set<HostID> = []
  private var chance: Chance

  private struct Pair: Hashable {
    let from: IPAddress
    let to: IPAddress
  }

  init(usual: LinkQuality, chance: Chance) {
    self.usual = usual
    self.chance = chance
  }

  mutating func attach(_ host: HostID, at endpoint: Endpoint, behind nats: [NATID]) {
    hosts[endpoint] = host
    translators[host] = nats
  }

  mutating func detach(_ endpoint: Endpoint) { hosts[endpoint] = nil }

  mutating func addNAT(_ kind: NATKind, at outer: IPAddress) -> NATID {
    nats.append(NAT(kind: kind, outer: outer))
    natsByAddress[outer] = nats.count - 1
    return NATID(number: nats.count - 1)
  }

  mutating func reboot(_ nat: NATID) { nats[nat.number].reboot() }

  mutating func setGroup(_ group: Int?, of host: HostID) { groups[host] = group }

  /// Lets no UDP of this host through, either way; that is no fault that ends.
  mutating func block(_ host: HostID) { blocked.insert(host) }

  /// Where a host is seen from outside, as a server would tell it: all mappings of its translators have to
  /// be the same for everyone.
  mutating func outerEndpoint(of host: HostID, at inner: Endpoint, now: Instant) -> Endpoint? {
    (translators[host] ?? []).reduce(inner) { source, nat in
      source.flatMap {
        nats[nat.number].translate(from: $0, to: Endpoint(.v4(0xcb00_7101), port: 3_478), now: now)
      }
    }
  }

  /// Ends every fault of every link.
  mutating func heal() {
    usual = usual.healed
    for (pair, link) in links { links[pair]?.quality = link.quality.healed }
    groups.removeAll()
  }

  /// A datagram leaves a host: what comes of it, with the source as it is seen outside.
  mutating func send(
    _ datagram: [UInt8], from host: HostID, at inner: Endpoint, to destination: Endpoint, now: Instant
  ) -> [Flight] {
    guard !blocked.contains(host) else { return [] }
    var source = inner
    let behind = translators[host] ?? []
    if !behind.isEmpty, let other = hosts[destination], other != host, translators[other] == behind {
      // In the same network: no translator between them.
      return fly(datagram, from: inner, to: destination, now: now).map {
        Flight(
          datagram: $0.datagram, source: inner, destination: destination, at: $0.at, sender: host,
          isLocal: true)
      }
    }
    for nat in behind {
      guard let outer = nats[nat.number].translate(from: source, to: destination, now: now) else { return [] }
      source = outer
    }
    return fly(datagram, from: source, to: destination, now: now).map {
      Flight(datagram: $0.datagram, source: source, destination: destination, at: $0.at, sender: host)
    }
  }

  /// A datagram whose source is whatever the sender says.
  mutating func inject(
    _ datagram: [UInt8], pretending source: Endpoint, to destination: Endpoint, now: Instant
  ) -> [Flight] {
    fly(datagram, from: source, to: destination, now: now).map {
      Flight(datagram: $0.datagram, source: source, destination: destination, at: $0.at, sender: nil)
    }
  }

  private mutating func fly(
    _ datagram: [UInt8], from source: Endpoint, to destination: Endpoint, now: Instant
  ) -> [(at: Instant, datagram: [UInt8])] {
    let pair = Pair(from: source.address, to: destination.address)
    guard links[pair] != nil || usual.bytesPerSecond != nil else {
      // Without a rate a link remembers nothing, so one for each pair need not be kept.
      var link = Link(quality: usual)
      return link.carry(datagram, now: now, chance: &chance)
    }
    return links[pair, default: Link(quality: usual)].carry(datagram, now: now, chance: &chance)
  }

  /// Whom a datagram reaches in the end; `nil` for nobody.
  func receiver(of flight: Flight, now: Instant) -> HostID? {
    var destination = flight.destination
    var isInside = flight.isLocal
    // A CGNAT before a home's NAT makes two; more than four would be a loop.
    for _ in 0..<4 {
      if let host = hosts[destination] {
        // An inner address leads nowhere from outside.
        let isBehindNAT = !(translators[host] ?? []).isEmpty
        return isBehindNAT == isInside && mayPass(flight, to: host) && !blocked.contains(host) ? host : nil
      }
      guard let nat = natsByAddress[destination.address] else { return nil }
      if flight.source.address == destination.address, !nats[nat].kind.hairpins { return nil }
      guard let inner = nats[nat].admit(to: destination.port, from: flight.source, now: now) else {
        return nil
      }
      destination = inner
      isInside = true
    }
    return nil
  }

  private func mayPass(_ flight: Flight, to host: HostID) -> Bool {
    guard let sender = flight.sender else { return true }
    return groups[sender] == groups[host]
  }
}

/// A datagram on its way.
struct Flight {
  let datagram: [UInt8]
  let source: Endpoint
  let destination: Endpoint
  let at: Instant
  /// `nil` for an attacker who forges sources.
  let sender: HostID?
  /// Within one network behind a translator.
  var isLocal = false
}
