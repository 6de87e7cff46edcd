import MeshCrypto
public import MeshWire

/// Names a member of a population; the number is its position in the ``Census``.
public struct MemberID: Hashable, Sendable, Comparable {
  public let number: Int
  public static func < (a: MemberID, b: MemberID) -> Bool { a.number < b.number }
}

/// Who could be in a large population: keys, addresses and records, all of them drawn from one seed.
///
/// Every member is public, and has a /24 of its own.
public struct Census: Sendable {
  /// Members that are there from the beginning.
  public let founders: Int
  /// Founders, and those who may come later.
  public let count: Int
  private let chance: Chance
  private let keyHashes: [KeyHash]
  /// The founders in the order of their PeerIDs, so that near neighbours stand side by side.
  private let order: [MemberID]
  private let places: [PeerID: MemberID]
  private let liars: Set<MemberID>

  /// - Parameters:
  ///   - liarShare: how many of the founders lie, 0 to 1.
  public init(seed: UInt64, founders: Int, latecomers: Int = 0, liarShare: Double = 0) {
    self.founders = founders
    count = founders + latecomers
    let chance = Chance(seed: seed)
    self.chance = chance
    let keyHashes = (0..<count).map { Self.key(chance, $0).keyHash }
    self.keyHashes = keyHashes
    let members = (0..<founders).map { MemberID(number: $0) }
    order = members.sorted { keyHashes[$0.number].peerID < keyHashes[$1.number].peerID }
    var places: [PeerID: MemberID] = [:]
    for number in keyHashes.indices { places[keyHashes[number].peerID] = MemberID(number: number) }
    self.places = places
    var draw = chance.stream(0x6c69_6172)
    liars = Set(members.filter { _ in draw.happens(liarShare) })
  }

  private static func key(_ chance: Chance, _ number: Int) -> IdentityPublicKey {
    var own = chance.stream(UInt64(number))
    guard let key = IdentityPublicKey(own.bytes(IdentityPublicKey.size)) else {
      preconditionFailure("so many bytes are a key")
    }
    return key
  }

  // MARK: Members

  /// Made anew each time: 2.6 KB that only nodes which are awake need.
  func publicKey(of member: MemberID) -> IdentityPublicKey { Self.key(chance, member.number) }

  /// Who it is.
  public func keyHash(of member: MemberID) -> KeyHash { keyHashes[member.number] }
  /// The same, for routing.
  public func peerID(of member: MemberID) -> PeerID { keyHashes[member.number].peerID }
  /// Whether it lies.
  public func isLiar(_ member: MemberID) -> Bool { liars.contains(member) }
  /// Whose PeerID it is; `nil` for nobody's.
  public func member(_ peerID: PeerID) -> MemberID? { places[peerID] }

  /// 16.0.0.1, 16.0.1.1 and so on: a network for each.
  private static let firstAddress: UInt32 = 0x1000_0001
  static let port: UInt16 = 8_443

  /// Where a member is.
  public func endpoint(of member: MemberID) -> Endpoint {
    Endpoint(.v4(Self.firstAddress + UInt32(member.number) << 8), port: Self.port)
  }

  /// Who is there, whether awake or not.
  func member(at endpoint: Endpoint) -> MemberID? {
    guard endpoint.port == Self.port else { return nil }
    return member(owning: endpoint.address)
  }

  /// Whose address it is, on any port.
  func member(owning address: IPAddress) -> MemberID? {
    guard case .v4(let value) = address, value >= Self.firstAddress, value & 0xff == 1 else { return nil }
    let number = Int((value - Self.firstAddress) >> 8)
    return number < count ? MemberID(number: number) : nil
  }

  // MARK: Choice

  /// A founder, evenly.
  func founder(_ chance: inout Chance) -> MemberID { MemberID(number: chance.index(below: founders)) }

  /// A founder that doesn't lie, evenly.
  func honestFounder(_ chance: inout Chance) -> MemberID {
    while true {
      let member = founder(&chance)
      if !isLiar(member) { return member }
    }
  }

  /// A founder that lies, evenly; there is at least one.
  func liar(_ chance: inout Chance) -> MemberID {
    while true {
      let member = founder(&chance)
      if isLiar(member) { return member }
    }
  }

  /// Founders around a place in the order of PeerIDs, `reach` to either side. Those nearest by XOR are among
  /// them when `reach` is some times as large as the number that is wanted.
  func around(_ target: PeerID, reach: Int) -> ArraySlice<MemberID> {
    var low = 0
    var high = order.count
    while low < high {
      let middle = (low + high) / 2
      if peerID(of: order[middle]) < target { low = middle + 1 } else { high = middle }
    }
    return order[max(0, low - reach)..<min(order.count, low + reach)]
  }
}
