import MeshWire

/// Someone who keeps to no rule: sees what passes, and sends whatever he likes from any address. What he
/// can't do is keep a datagram from arriving.
protocol Attacker {
  /// A datagram passes by that somebody else sent.
  mutating func sees(_ passing: PassingDatagram, now: Instant) -> [Forgery]
  /// Comes round every ``World/attackPace``.
  mutating func acts(now: Instant) -> [Forgery]
}

/// A datagram as it is seen on its way.
struct PassingDatagram {
  let bytes: [UInt8]
  let source: Endpoint
  let destination: Endpoint
  /// How long until it arrives: who is quicker comes first.
  let arrivesIn: Duration
}

/// What an attacker sends.
struct Forgery {
  let bytes: [UInt8]
  /// What it says that it comes from.
  let source: Endpoint
  let destination: Endpoint
  /// When it arrives, from now on: an attacker chooses whom he is near to.
  let after: Duration
}

extension World {
  static let attackPace = Duration.milliseconds(20)

  /// From now on this one is about.
  mutating func add(_ attacker: any Attacker) {
    attackers.append(attacker)
    if attackers.count == 1 { schedule(.attackersAct, at: now + Self.attackPace) }
  }

  /// Attackers lose interest; what they have sent still arrives.
  mutating func dismissAttackers() { attackers.removeAll() }

  mutating func show(_ flight: Flight) {
    let passing = PassingDatagram(
      bytes: flight.datagram, source: flight.source, destination: flight.destination,
      arrivesIn: flight.at - now)
    for index in attackers.indices { launch(attackers[index].sees(passing, now: now)) }
  }

  mutating func attackersAct() {
    guard !attackers.isEmpty else { return }
    for index in attackers.indices { launch(attackers[index].acts(now: now)) }
    schedule(.attackersAct, at: now + Self.attackPace)
  }

  private mutating func launch(_ forgeries: [Forgery]) {
    for forgery in forgeries {
      let at = now + forgery.after
      forgedCount += 1
      schedule(
        .arrival(
          Flight(
            datagram: forgery.bytes, source: forgery.source, destination: forgery.destination, at: at,
            sender: nil)), at: at)
    }
  }
}
