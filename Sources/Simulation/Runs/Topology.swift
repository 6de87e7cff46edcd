import MeshWire

/// How a handful of hosts is connected to the rest of the world.
struct Topology {
  /// What stands out.
  enum Shape: String, CaseIterable {
    /// Some are open, each of the others is behind a NAT of its own.
    case mixed
    /// Two share a NAT, and reach each other in their network.
    case shared
    /// Two homes behind one carrier's NAT: two translators in a row.
    case carrier
    /// The same, where both NATs let anyone in and the carrier's turns datagrams round: each says where it is
    /// seen from outside.
    case hairpin
    /// One host's network lets no UDP through.
    case blocked
  }

  /// One host's place.
  struct Place {
    var isPublic = false
    /// The translators before it, innermost first, by their number in ``nats``.
    var behind: [Int] = []
    var isBlocked = false
    /// Says where it is seen from outside instead of where it is.
    var saysOuter = false

    var isOpen: Bool { behind.isEmpty && !isBlocked }
  }

  let shape: Shape
  private(set) var places: [Place]
  private(set) var nats: [NATKind] = []

  init(_ chance: inout Chance) {
    shape = chance.pick(Shape.allCases)
    let count = 3 + chance.index(below: 3)
    places = (0..<count).map { _ in Place(isPublic: chance.happens(0.3)) }
    switch shape {
    case .mixed:
      for index in places.indices where chance.happens(0.5) {
        putBehind([chance.pick(NATKind.all)], [index])
      }
    case .shared:
      putBehind([chance.pick(NATKind.all)], [0, 1])
      if chance.happens(0.5) { putBehind([chance.pick(NATKind.all)], [2]) }
    case .carrier, .hairpin:
      let isFull = shape == .hairpin
      var carrier = isFull ? NATKind.fullCone : chance.pick(NATKind.all)
      carrier.hairpins = isFull || chance.happens(0.5)
      nats.append(carrier)
      for index in 0..<2 {
        nats.append(isFull ? .fullCone : chance.pick(NATKind.all))
        places[index] = Place(behind: [nats.count - 1, 0], saysOuter: isFull)
      }
    case .blocked:
      places[0].isBlocked = true
      if chance.happens(0.5) { putBehind([chance.pick(NATKind.all)], [1]) }
    }
  }

  private mutating func putBehind(_ kinds: [NATKind], _ hosts: [Int]) {
    let numbers = Array(nats.count..<nats.count + kinds.count)
    nats += kinds
    // Whoever is behind a NAT is private: a public node has to be reached by anyone.
    for host in hosts { places[host] = Place(behind: numbers) }
  }

  /// Pairs of which at least one side can reach the other as long as nobody punches holes.
  func canConnect(_ a: Int, _ b: Int) -> Bool {
    guard !places[a].isBlocked, !places[b].isBlocked else { return false }
    if places[a].isOpen || places[b].isOpen || places[a].saysOuter || places[b].saysOuter { return true }
    return places[a].behind == places[b].behind
  }

  var story: String {
    let all = places.map { place in
      if place.isBlocked { return "no UDP" }
      if place.isOpen { return place.isPublic ? "public" : "open" }
      let kinds = place.behind.map { "\(nats[$0].mapping)/\(nats[$0].filtering) #\($0)" }
      return kinds.joined(separator: " behind ")
    }
    return "\(shape.rawValue): " + all.joined(separator: "; ")
  }
}
